#!/bin/bash
# The file system below one image is frozen: only that disk waits. Another disk is flushed meanwhile.
# After the server is killed, a new one serves the other disk while the file system is still frozen.
# once
. tests/vm/lib.sh

writers=16
frozen=false

thaw() {
	$frozen || return 0
	fsfreeze --unfreeze "$T/fs"
	frozen=false
}

null_disk 256
mkfs.ext4 -q "$DISK"
mkdir "$T/fs"
mount "$DISK" "$T/fs"
defer thaw
fill "$(image fs/stalls.img 16M)" 100 16M
other=$(image other.img 16M)

configure() {
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	[ "$1" = other ] || printf '[stalls]\npath = %s\ncache = %s\n' "$T/fs/stalls.img" "$1"
	printf '[other]\npath = %s\n' "$other"
}

# A write and a flush of the other disk: goes_on BYTE WHEN
goes_on() {
	timeout 60 xfs_io -d -c "pwrite -q -S 0$1 0 64k" -c fsync "${NODE[other]}" ||
		fail "the other disk cannot be flushed $2"
	filled "${NODE[other]}" "$1" 64k || fail "the other disk has not what was written $2"
}

for cache in none writeback; do
	say "cache = $cache"
	configure $cache >"$T/conf"
	start_server
	node=${NODE[stalls]}
	goes_on 101 "before"
	fsfreeze --freeze "$T/fs"
	frozen=true
	pids=()
	for ((n = 0; n < writers; n++)); do
		fill_direct "$node" 102 4096 $((n * 65536)) &
		pids+=($!)
	done
	wait_for 60 "$writers writes that wait" under_way "$node" $writers
	goes_on 103 "while the store is frozen"
	if grep -l iou-wrk "/proc/$SERVER/task"/*/comm >"$T/shared"; then
		fail "work of the store is in threads that all disks share: $(cat "$T/shared")"
	fi

	kill -KILL "$SERVER"
	disown "$SERVER"
	dead=$SERVER
	configure other >"$T/conf"
	start_server
	goes_on 104 "after a kill, while the store is frozen"
	[ -e "/proc/$dead" ] || fail "nothing of the killed server is left: it had nothing to wait for"

	kill -KILL "$SERVER"
	disown "$SERVER"
	thaw
	configure $cache >"$T/conf"
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
