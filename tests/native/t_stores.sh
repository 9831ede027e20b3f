#!/bin/bash
# Every cache mode on every kind of store: what libblkio writes is on the disk, and in the store afterwards.
# What was flushed survives the end of a file system whose journal was not written; what was not flushed
# shows what the cache mode does not promise.
# once
. tests/native/lib.sh
. tests/native/qemu_io.sh
need_vhost_user

mib=32
declare -A STORE=()

# One server with a disk on each kind of store: cells CACHE KIND...
cells() {
	local cache=$1 kind
	shift
	serve < <(
		printf '[global]\nruntime_dir = %s\n' "$T/run"
		for kind; do
			disk_section "$kind" "${STORE[$kind]}" "$T/$kind.sock" "cache=$cache" queues=4
		done
	)
	for kind; do
		"$TOOLS/blkio_verify" "$T/$kind.sock" 4 8000 >"$T/client.$kind" 2>&1 &
	done
	wait_for_all
	for kind; do
		IO_SOCKET=$T/$kind.sock io_checksum >"$T/sum.$kind"
	done
	stop
	quiet
	for kind; do
		is "the checksum of $kind after cache = $cache" \
			"$(checksum "${STORE[$kind]}")" "$(cat "$T/sum.$kind")"
	done
	say "cache = $cache on $*"
}

wait_for_all() {
	local pid
	for pid in $(jobs -p); do
		[ "$pid" = "$SERVER" ] || wait "$pid" || fail "$(tail -n 3 "$T"/client.*)"
	done
}

loop_fs ext4 64M
mkdir "$T/tmpfs"
mount -t tmpfs tmpfs "$T/tmpfs"
loop_disk "$(image loop.img ${mib}M)" --sector-size 512
STORE=([ext4]=$(image ext4/disk.img ${mib}M) [tmpfs]=$(image tmpfs/disk.img ${mib}M) [loop]=$DISK)

# The kernel of the day decides whether tmpfs can do O_DIRECT; both answers have a right outcome.
kinds="ext4 tmpfs loop"
if ! dd if="${STORE[tmpfs]}" of=/dev/null iflag=direct bs=4k count=1 status=none 2>/dev/null; then
	kinds="ext4 loop"
	say "this tmpfs has no O_DIRECT: cache = none must be refused there"
	refused 1 'cannot do O_DIRECT, which cache = none needs' < <(
		printf '[global]\nruntime_dir = %s\n' "$T/run"
		disk_section tmpfs "${STORE[tmpfs]}" "$T/tmpfs.sock" cache=none
	)
fi
# shellcheck disable=SC2086
cells none $kinds
for cache in writeback writethrough unsafe; do
	cells $cache ext4 tmpfs loop
done
umount "$T/ext4"

# survived CACHE WANTED WHAT BYTE OFFSET: kept or lost, a MiB of the image
survived() {
	if filled "$img" "$4" 1M "$5"; then
		[ "$2" = kept ] || fail "$3 is there with cache = $1: this test shows nothing"
	else
		[ "$2" = lost ] || fail "$3 is lost with cache = $1"
	fi
}

# An image whose file system stops with its journal unwritten. A is flushed, B and C are not; C is zeroes.
ends_unwritten() { # CACHE FLUSHED UNFLUSHED
	mount -o commit=300 "$DISK" "$T/fs"
	img=$(image "fs/$1.img" 8M)
	fill "$img" 103 1M 2M
	sync -f "$img"
	start_backend "$img" "$T/socket" "cache=$1"
	# A client that ends flushes: this one waits until the file system has ended.
	stdbuf -oL qemu-io -t none --image-opts "$(io_options)" -c 'write -P 0x41 0 1M' -c flush -c 'write -P 0x42 1M 1M' \
		-c 'write -z 2M 1M' -c 'sleep 600000' >"$T/io" 2>&1 &
	writer=$!
	defer reap $writer
	wait_for "$PATIENCE" "end of the writes" grep -q 'wrote 1048576/1048576 bytes at offset 2097152' "$T/io"
	xfs_io -x -c shutdown "$T/fs"
	reap $writer
	stop_backend 'cannot flush|Input/output error|writes may be lost|more errors of the store|cannot write back'
	umount "$T/fs"
	mount -o commit=300 "$DISK" "$T/fs"
	survived "$1" "$2" "what was flushed" 101 0
	survived "$1" "$3" "what was not flushed" 102 1M
	survived "$1" "$3" "zeroes that were not flushed" 0 2M
	umount "$T/fs"
}

loop_fs fs 64M
umount "$T/fs"
ends_unwritten none kept lost
ends_unwritten writeback kept lost
ends_unwritten writethrough kept kept
ends_unwritten unsafe lost lost
