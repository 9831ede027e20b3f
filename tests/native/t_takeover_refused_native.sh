#!/bin/bash
# A takeover that a connected front end could not use is refused, and the old server goes on. A second
# server with a disk of the same name in the same runtime_dir is refused too.
# once
. tests/native/lib.sh
need_vhost_user

config() { # QUEUES SOCKET
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section disk "$img" "$2" queues="$1"
}

img=$(image disk.img 64M)
mkdir "$T/sockets"
other=$(disk_section other "$(image other.img 16M)" "$T/sockets/other")
serve < <(config 2 "$T/socket" && echo "$other")
config 2 "$T/second" | refused 1 "disk: another process serves a device of that name"
quiet

python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
time.sleep(600)' "$T/socket" &
front_end=$!
defer reap $front_end
wait_for "$PATIENCE" "connection" grep -q 'has connected' "$T/err"
{ config 1 "$T/socket" && echo "$other"; } >"$T/fewer"
timeout 30 "$VDUSE_BLK" serve --takeover -c "$T/fewer" >"$T/new.out" 2>"$T/new.err" && fail "fewer queues were accepted"
grep -q 'cannot be adopted: queues was 2 and is 1' "$T/new.err" || fail "$(cat "$T/new.err")"
# A socket that cannot be made is noticed before a disk pauses.
mv "$T/sockets" "$T/moved"
timeout 30 "$VDUSE_BLK" serve --takeover -c "$T/conf" >"$T/new.out" 2>"$T/new.err" && fail "a socket in no directory"
grep -q "other: cannot use socket $T/sockets/other: directory $T/sockets/: No such file" "$T/new.err" || fail "$(cat "$T/new.err")"
mv "$T/moved" "$T/sockets"
! grep -q 'disconnected' "$T/err" || fail "the front end has lost its connection"
kill -0 "$SERVER" || fail "the old server has ended"
kill "$front_end"
wait_for "$PATIENCE" "end of the connection" grep -q 'has disconnected' "$T/err"
client front_ends --queues 2 "$T/socket" kept
stop
