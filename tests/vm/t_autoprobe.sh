#!/bin/bash
# drivers_autoprobe of the vdpa bus: other users cannot delay the server with a lock on it, and its value
# is restored, even after a server that was killed while it was off.
# once
. tests/vm/lib.sh

switch=/sys/bus/vdpa/drivers_autoprobe
lock=/sys/bus/vdpa/drivers_probe
mark=/run/vduse-blk.autoprobe

# hold COMMAND...: in the background, until the end of the test; sets HOLDER
hold() {
	"$@" &
	HOLDER=$!
	disown $HOLDER
	defer reap $HOLDER
}

is_locked() {
	! flock --nonblock "$1" true
}

serve_one() {
	serve <<-C
		[one]
		path = $img
	C
}

img=$(image one.img 16M)
serve_one
stop
is "drivers_autoprobe" "$(cat $switch)" 1

# Any user can open it, and lock it; no user but root can open the other.
is "mode of the lock" "$(stat -c %a:%u $lock)" 200:0
hold setpriv --reuid=65534 --clear-groups flock --shared $switch sleep 600
wait_for 10 "lock" is_locked $switch
serve_one
stop
quiet
clean
reap $HOLDER

# What a server left that was killed in between.
echo 0 >$switch
: >$mark
serve_one
said 'had left autoprobe of the vdpa bus off'
is "drivers_autoprobe" "$(cat $switch)" 1
[ ! -e $mark ] || fail "$mark is there still"

# One that goes on with its disks adds none, and does it too.
kill -KILL "$SERVER"
wait "$SERVER" 2>/dev/null || true
echo 0 >$switch
: >$mark
start_server
is "drivers_autoprobe" "$(cat $switch)" 1
stop
clean

# The administrator's choice.
echo 0 >$switch
serve_one
stop
quiet
is "drivers_autoprobe" "$(cat $switch)" 0
echo 1 >$switch
[ ! -e $mark ] || fail "$mark was left"
clean
