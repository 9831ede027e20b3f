#!/bin/bash
# The file system below one image is frozen, or its file server stalls (FUSE): only that disk waits. Another
# disk is flushed meanwhile. After the server is killed, a new one serves the other disk while the store still
# stalls.
# once
. tests/vm/lib.sh
. tests/lib/fuse_store.sh

writers=16
frozen=false

stall() {
	frozen=true
	case $kind in
	ext4) fsfreeze --freeze "$T/fs" ;;
	fuse) fuse_stalls ;;
	esac
}

thaw() {
	$frozen || return 0
	case $kind in
	ext4) fsfreeze --unfreeze "$T/fs" ;;
	fuse) fuse_goes_on ;;
	esac
	frozen=false
}

null_disk 256
mkfs.ext4 -q "$DISK"
mkdir "$T/fs"
mount "$DISK" "$T/fs"
defer thaw
fill "$(image fs/stalls.img 16M)" 100 16M
fuse_store fuse.img 16M
other=$(image other.img 16M)

configure() {
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	[ "$1" = other ] || printf '[stalls]\npath = %s\ncache = %s\n' "$store" "$1"
	printf '[other]\npath = %s\n' "$other"
}

# Not by xfs_io, which looks at every mount, and so waits for the file server: put NODE BYTE SIZE SEEK SECONDS
put() {
	head -c "$3" /dev/zero | tr '\0' "\\$2" |
		timeout "$5" dd of="$1" bs="$3" seek=$(($4 / $3)) iflag=fullblock oflag=direct \
			conv=notrunc,fsync status=none
}

# A write and a flush of the other disk: goes_on BYTE WHEN
goes_on() {
	put "${NODE[other]}" "$1" 65536 0 60 ||
		fail "the other disk cannot be flushed $2"
	filled "${NODE[other]}" "$1" 64k || fail "the other disk has not what was written $2"
}

for case in "ext4 none" "ext4 writeback" "fuse auto"; do
	read -r kind cache <<<"$case"
	say "$kind, cache = $cache"
	store=$T/fs/stalls.img
	[ "$kind" = ext4 ] || store=$T/fuse.img
	configure "$cache" >"$T/conf"
	start_server
	node=${NODE[stalls]}
	goes_on 101 "before"
	stall
	pids=()
	for ((n = 0; n < writers; n++)); do
		put "$node" 102 4096 $((n * 65536)) 600 &
		pids+=($!)
	done
	wait_for 60 "$writers writes that wait" under_way "$node" $writers
	goes_on 103 "while the store stalls"
	if grep -l iou-wrk "/proc/$SERVER/task"/*/comm >"$T/shared"; then
		fail "work of the store is in threads that all disks share: $(cat "$T/shared")"
	fi

	kill -KILL "$SERVER"
	disown "$SERVER"
	dead=$SERVER
	configure other >"$T/conf"
	start_server
	goes_on 104 "after a kill, while the store stalls"
	[ -e "/proc/$dead" ] || fail "nothing of the killed server is left: it had nothing to wait for"

	kill -KILL "$SERVER"
	disown "$SERVER"
	thaw
	configure "$cache" >"$T/conf"
	start_server
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "a write that waited for the store failed"
	done
	for ((n = 0; n < writers; n++)); do
		filled "$node" 102 4096 $((n * 65536)) || fail "write $n is lost"
	done
	stop
	clean
done
