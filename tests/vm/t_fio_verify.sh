#!/bin/bash
# What fio writes, 64 requests deep on four queues, is there: through the disk while it is attached
# and in the store afterwards; with and without the page cache, and from buffers that begin inside a page
# where blocks have 4 KiB. tests/native/t_stores.sh has every cache mode.
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
		[ "$kind" != 4k ] || jobs+=(--iomem_align=512 --bssplit=4k/60:20k/20:64k/15:1m/5)
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
# Not null_blk: with blocks of 4 KiB it reads zeroes into a segment that begins inside a block (6.12 and
# 7.2; Linux 7 accepts such memory for direct I/O, 6.12 refuses it).
disk=$DISK
loop_disk "$(image loop.img ${mib}M)" --sector-size 4096
STORE=([ext4]=$(image ext4/disk.img ${mib}M) [tmpfs]=$(image tmpfs/disk.img ${mib}M) [disk]=$disk [4k]=$DISK)

# The kernel of the day decides whether tmpfs can do O_DIRECT; both answers have a right outcome.
kinds="ext4 tmpfs disk 4k"
if ! dd if="${STORE[tmpfs]}" of=/dev/null iflag=direct bs=4k count=1 status=none 2>/dev/null; then
	kinds="ext4 disk 4k"
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
