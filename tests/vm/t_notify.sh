#!/bin/bash
# Notifications to a service manager: READY=1 when every node is there and not before; STOPPING=1. Every
# signal detaches, and no disk waits for a stuck reader of the output.
# once
. tests/vm/lib.sh

# Writes what comes to the notification socket to a file, with what the server had printed by then and
# whether all those nodes were there.
cat >"$T/listen.py" <<'P'
import os, socket, sys

path, printed, log = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, open(log, "w", buffering=1) as out:
    s.bind(path)
    print("listening", file=out)
    while True:
        words = s.recv(4096).decode().split("\n")
        with open(printed) as f:
            nodes = [line.split() for line in f]
        there = all(os.path.exists(node) for _, node in nodes)
        print("|".join(words), "printed", len(nodes), "there" if there else "missing", file=out)
P

listen() {
	rm -f "$T/notify" "$T/heard"
	python3 "$T/listen.py" "$T/notify" "$T/out" "$T/heard" &
	LISTENER=$!
	disown $LISTENER
	defer reap $LISTENER
	wait_for 30 "listener" grep -q listening "$T/heard"
	AS=(env "NOTIFY_SOCKET=$1")
}

heard() {
	grep -q -- "$1" "$T/heard"
}

serve_one() {
	serve <<-C
		[one]
		path = $img
	C
}

img=$(image one.img 16M)
img2=$(image two.img 16M)
img3=$(image three.img 16M)

# READY=1 once, after the last node; STOPPING=1 once, though the disk was in use for a while.
listen "$T/notify"
serve <<-C
	[one]
	path = $img
	[two]
	path = $img2
	driver = vhost-vdpa
	[three]
	path = $img3
C
wait_for 10 "READY=1" heard 'READY=1'
grep -E '^(.*\|)?READY=1(\|.*)? printed 3 there$' "$T/heard" >/dev/null ||
	fail "READY=1 before every device was usable: $(cat "$T/heard")"
! heard STOPPING=1 || fail "STOPPING=1 too early: $(cat "$T/heard")"
settle_udev
sleep 600 <"${NODE[one]}" &
holder=$!
disown $holder
defer reap $holder
wait_for 10 "holder" test "/proc/$holder/fd/0" -ef "${NODE[one]}"
kill -TERM "$SERVER"
wait_for 10 "STOPPING=1" heard 'STOPPING=1'
wait_for 10 "word of the holder" grep -q 'opened by sleep' "$T/err"
kill $holder
ended
quiet 'is in use'
clean
is "number of READY=1" "$(grep -c READY=1 "$T/heard")" 1
is "number of STOPPING=1" "$(grep -c STOPPING=1 "$T/heard")" 1
reap $LISTENER

# Never ready: the only store cannot be opened.
listen "$T/notify"
refused 1 'two: cannot open' <<-C
	[two]
	path = $T/missing
C
! heard READY=1 || fail "READY=1 from a server that failed"
reap $LISTENER

# A socket that nobody listens to.
AS=(env "NOTIFY_SOCKET=$T/nobody")
serve_one
stop
quiet
clean
AS=()

# Each of the signals detaches.
for signal in INT TERM; do
	serve_one
	settle_udev
	kill -$signal "$SERVER"
	ended
	quiet
	clean
done

# Two signals at once are one.
serve_one
settle_udev
kill -INT "$SERVER"
kill -TERM "$SERVER"
ended
quiet
clean

# The reader of its output has gone before the first line.

a_node() {
	node=/dev/$(ls /sys/bus/vdpa/devices/one/virtio*/block) && [ -b "$node" ]
}

still_serves() {
	wait_for 60 "disk" a_node
	dd if=/dev/urandom of="$node" bs=64k count=4 seek=16 oflag=direct status=none ||
		fail "the disk cannot be written"
	! server_ended || fail "the server ended"
}

cat >"$T/conf" <<-C
	[one]
	path = $img
C
: >"$T/err"
mkfifo "$T/pipe"
exec 8<>"$T/pipe"
"$VDUSE_BLK" serve -c "$T/conf" </dev/null >"$T/pipe" 2>"$T/err" 8>&- &
SERVER=$!
wait_for 30 "server" test "/proc/$SERVER/fd/1" -ef "$T/pipe"
exec 8>&- # nobody reads, and the pipe breaks
still_serves
stop
quiet
clean

# No standard output, and no standard error, at all.
for closed in '>&-' '2>&-' '>&- 2>&- <&-' '>/dev/full 2>/dev/full'; do
	: >"$T/err"
	eval "\"$VDUSE_BLK\" serve -c $T/conf </dev/null >/dev/null 2>\"$T/err\" $closed &"
	SERVER=$!
	still_serves
	stop
	quiet
	clean
	filled "$img" 000 1M || fail "the server wrote its words into the image: started with $closed"
done
