#!/bin/bash
# What each cache mode promises, shown by a loss of power: the store forgets what nobody flushed.
# expect-dmesg: I/O error, dev (vd|disk)|(print_req|buffer_io)_error|Buffer I/O error on dev|EXT4-fs .*shut down
# once
. tests/vm/lib.sh

mib=1048576

# Written and flushed: A. Written only: B.
write_as_told() {
	is "write_cache with cache = $2" "$(sysfs "$1" queue/write_cache)" "$3"
	fill "$1" 101 $mib
	fill_direct "$1" 102 $mib $mib
}

# is_there WANTED WHAT FILE BYTE SIZE [SKIP]
is_there() {
	if filled "${@:3}"; then
		[ "$1" = kept ] || fail "$2 is there: this test shows nothing"
	else
		[ "$1" = lost ] || fail "$2 is lost"
	fi
}

# survived STORE CACHE FLUSHED UNFLUSHED: kept or lost
survived() {
	is_there "$3" "what was flushed with cache = $2" "$1" 101 $mib
	is_there "$4" "what was not flushed with cache = $2" "$1" 102 $mib $mib
}

power() {
	echo "$1" >"/sys/kernel/config/nullb/${DISK##*/}/power"
}

# A disk with a volatile write cache, which loses its power under the server. (null_blk's cache
# takes only what is new: blocks that it has already are written through.)
disk() {
	null_disk 8 cache_size=64
	serve <<-C
		[disk]
		path = $DISK
		cache = $1
	C
	write_as_told "${NODE[disk]}" "$1" "$2"
	power 0
	power 1
	survived "$DISK" "$1" "$3" "$4"
	stop
	quiet 'cannot flush /dev/|Input/output error|No such device|the store was truncated|writes may be lost|more errors of the store'
	clean
}

# An image file whose file system stops with its journal unwritten. Zeroes: where C was before.
file() {
	local img
	img=$(image "ext4/$1.img" 8M)
	fill "$img" 103 $mib $((2 * mib))
	sync -f "$img"
	serve <<-C
		[file]
		path = $img
		cache = $1
	C
	write_as_told "${NODE[file]}" "$1" "$2"
	blkdiscard -z --offset $((2 * mib)) --length $mib "${NODE[file]}"
	xfs_io -x -c shutdown "$T/ext4"
	stop
	quiet 'cannot flush /dev/|Input/output error|writes may be lost|more errors of the store'
	clean
	umount "$T/ext4"
	mount -o commit=300 "$DISK" "$T/ext4"
	survived "$img" "$1" "$3" "$4"
	is_there "$4" "zeroes that were not flushed, with cache = $1," "$img" 0 $mib $((2 * mib))
}

disk none "write back" kept lost
disk writeback "write back" kept lost
disk writethrough "write through" kept kept
disk unsafe "write back" lost lost

mkdir "$T/ext4"
null_disk 64
mkfs.ext4 -q "$DISK"
mount -o commit=300 "$DISK" "$T/ext4"
file none "write back" kept lost
file writeback "write back" kept lost
file writethrough "write through" kept kept
file unsafe "write back" lost lost
