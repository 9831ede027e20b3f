#!/bin/bash
# What fio writes, 64 requests deep on four queues, is there: through the disk while it is attached
# and in the store afterwards; with and without the page cache. tests/native/t_stores.sh has every cache mode.
# once
. tests/vm/lib.sh

mib=16
declare -A STORE=()

# One server with a disk on each kind of store: cells CACHE KIND...
cells() {
	local cache=$1 kind jobs=() start=$SECONDS
	shift
	for kind; do
		printf '[%s]\npath = %s\ncache = %s\nqueues = 4\n' "$kind" "${STORE[$kind]}" "$cache"
	done >"$T/cells"
	serve <"$T/cells"
	for kind; do
		jobs+=(--name="$kind" --filename="${NODE[$kind]}")
	done
	fio_verify --size=$((mib / 4))M --offset_increment=$((mib / 4))M --numjobs=4 "${jobs[@]}"
	for kind; do
		checksum "${NODE[$kind]}" >"$T/sum.$kind"
	done
	stop
	quiet
	clean
	for kind; do
		is "the checksum of $kind after cache = $cache" \
			"$(checksum "${STORE[$kind]}")" "$(cat "$T/sum.$kind")"
	done
	say "cache = $cache on $*: $((SECONDS - start)) s"
}

mkdir "$T/ext4" "$T/tmpfs"
null_disk 64
mkfs.ext4 -q "$DISK"
mount "$DISK" "$T/ext4"
mount -t tmpfs tmpfs "$T/tmpfs"
null_disk $mib
STORE=([ext4]=$(image ext4/disk.img ${mib}M) [tmpfs]=$(image tmpfs/disk.img ${mib}M) [disk]=$DISK)

# The kernel of the day decides whether tmpfs can do O_DIRECT; both answers have a right outcome.
kinds="ext4 tmpfs disk"
if ! dd if="${STORE[tmpfs]}" of=/dev/null iflag=direct bs=4k count=1 status=none 2>/dev/null; then
	kinds="ext4 disk"
	say "this tmpfs has no O_DIRECT: cache = none must be refused there"
	refused 1 'cannot do O_DIRECT, which cache = none needs' <<-C
		[tmpfs]
		path = ${STORE[tmpfs]}
		cache = none
	C
fi
# shellcheck disable=SC2086
cells none $kinds
cells writeback ext4 tmpfs disk
