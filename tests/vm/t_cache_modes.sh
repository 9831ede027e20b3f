#!/bin/bash
# What each cache mode promises, shown by a loss of power: the disk below forgets what nobody flushed.
# tests/native/t_stores.sh does the same with a file system.
# expect-dmesg: I/O error, dev (vd|disk)|(print_req|buffer_io)_error|Buffer I/O error on dev
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

disk none "write back" kept lost
disk writeback "write back" kept lost
disk writethrough "write through" kept kept
disk unsafe "write back" lost lost
