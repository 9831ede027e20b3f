#!/bin/bash
# A takeover while one store stalls: the healthy disk is taken over at once, the other one when its
# requests in flight have completed. When the new server is killed before the end of the takeover, the old
# one serves all disks again. No write is lost.
. tests/vm/lib.sh

stall() {
	dmsetup suspend --noflush --nolockfs stalls
}

thaw() {
	dmsetup resume stalls
}

# Starts another server; sets NEW. Its words are in $T/new.out and $T/new.err.
start_new() {
	: >"$T/new.out"
	"$VDUSE_BLK" serve --takeover -c "$T/conf" >"$T/new.out" 2>"$T/new.err" &
	NEW=$!
}

new_serves() {
	grep -q "^$1 ${NODE[$1]}\$" "$T/new.out"
}

# What servers list for a disk: states NAME
states() {
	"$VDUSE_BLK" list -c "$T/conf" | awk -v name="$1" '$1 == name { print $4 }' | sort | paste -sd' '
}

is_state() {
	[ "$(states "$1")" = "$2" ]
}

other_goes_on() {
	fill_direct "${NODE[other]}" "$1" 1M
	filled "${NODE[other]}" "$1" 1M || fail "the other disk has not what was written"
}

# A write to the disk that stalls, which cannot end: write_stalled BYTE. Sets WRITER.
write_stalled() {
	settle_udev
	stall
	fill_direct "${NODE[stalls]}" "$1" 8M &
	WRITER=$!
	wait_for 30 "request that stalls" under_way "${NODE[stalls]}" 1
}

write_ends() {
	wait $WRITER || fail "a write to a store that was stalled for a while failed"
	filled "${NODE[stalls]}" "$1" 8M || fail "what was written during the stall is not there"
}

modprobe dm_mod
null_disk 64
dmsetup create stalls --table "0 131072 linear $DISK 0"
defer dmsetup remove --retry stalls
defer dmsetup resume stalls
serve <<-C
	[stalls]
	path = /dev/mapper/stalls
	[other]
	path = $(image other.img 16M)
C
fill_direct "${NODE[stalls]}" 101 8M

# Killed when it has the healthy disk, and waits for the other one: the old server takes all back.
write_stalled 102
start_new
wait_for 60 "takeover of the healthy disk" new_serves other
other_goes_on 111
kill -KILL $NEW
wait $NEW 2>/dev/null || true
wait_for 60 "return of the healthy disk" is_state other attached
other_goes_on 112
kill -0 "$SERVER" || fail "the old server is gone"
said 'this server serves'
thaw
write_ends 102
wait_for 60 "return of the stalled disk" is_state stalls attached
filled "${NODE[other]}" 112 1M || fail "the other disk has lost what was written"
quiet 'this server serves|its requests|stall'

# One signal gives a takeover up.
write_stalled 103
start_new
wait_for 60 "takeover of the healthy disk" new_serves other
kill -TERM $NEW
status=0
wait $NEW || status=$?
is "status of a takeover that was given up" $status 1
wait_for 60 "return of the healthy disk" is_state other attached
other_goes_on 113
thaw
write_ends 103
wait_for 60 "return of the stalled disk" is_state stalls attached

# It ends: the healthy disk has changed over, the other one follows. Nobody else takes over meanwhile.
write_stalled 104
start_new
wait_for 60 "takeover of the healthy disk" new_serves other
other_goes_on 114
status=0
timeout 60 "$VDUSE_BLK" serve --takeover --background -c "$T/conf" >"$T/third.out" 2>"$T/third.err" || status=$?
is "status of a takeover during another one" $status 1
grep -q "another takeover from it is under way, by the server with process id $NEW" "$T/third.err" ||
	fail "the third server says: $(cat "$T/third.err")"
wait_for 60 "end of the takeover" grep -q 'stalls: is not taken over yet' "$T/new.err"
is "states of the disk that stalls" "$(states stalls)" 'closing waiting'
other_goes_on 115
kill -0 "$SERVER" || fail "the old server has left the disk that stalls"
kill -0 $WRITER || fail "a write to a stalled store has ended"
thaw
write_ends 104
wait_for 60 "takeover of the stalled disk" new_serves stalls
old=$SERVER SERVER=$NEW
status=0
wait "$old" || status=$?
is "status of the old server" $status 0
is "states of the disk that stalled" "$(states stalls)" attached
filled "${NODE[other]}" 115 1M || fail "the other disk has lost what was written"
fill_direct "${NODE[stalls]}" 105 8M
filled "${NODE[stalls]}" 105 8M || fail "the disk that stalled has not what was written"
cp "$T/new.err" "$T/err"
stop
quiet 'is not taken over yet'
clean
