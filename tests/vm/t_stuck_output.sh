#!/bin/bash
# expect-dmesg: I/O error, dev vd[a-z]*, sector [0-9]* op 0x1:.WRITE.
# The readers of standard output and standard error are stuck: both are full pipes. The server serves
# disks, logs errors, responds to requests, and ends.
# once
. tests/vm/lib.sh

# A pipe that nobody reads and that has no room.
full_pipe() {
	mkfifo "$1"
	exec {pipe}<>"$1"
	dd if=/dev/zero of="$1" bs=4096 oflag=nonblock status=none 2>/dev/null || true
}

a_node() {
	node=/dev/$(ls /sys/bus/vdpa/devices/one/virtio*/block) && [ -b "$node" ]
}

written() {
	timeout 60 dd if=/dev/urandom of="$node" bs=64k count=4 seek=16 oflag=direct status=none
}

# A store that fails, so that there are lines to write: an image in a file system without space.
mkdir "$T/small"
mount -t tmpfs -o size=2M tmpfs "$T/small"
truncate -s 64M "$T/small/one.img"

full_pipe "$T/stdout"
out_pipe=$pipe
full_pipe "$T/stderr"
cat >"$T/conf" <<-C
	[global]
	log_level = debug
	[one]
	path = $T/small/one.img
	cache = writeback
C
: >"$T/err"
"$VDUSE_BLK" serve -c "$T/conf" </dev/null >"$T/stdout" 2>"$T/stderr" &
SERVER=$!
wait_for 60 "disk" a_node
written || fail "the disk cannot be written"
# Errors, more than ten times.
for _ in {1..30}; do
	! timeout 60 dd if=/dev/urandom of="$node" bs=1M count=4 seek=8 oflag=direct status=none 2>/dev/null ||
		fail "more was written than the store has room for"
done
timeout 60 dd if="$node" of=/dev/null bs=64k count=4 seek=16 iflag=direct status=none || fail "the disk cannot be read"
timeout 60 "$VDUSE_BLK" list -c "$T/conf" >"$T/list" || fail "the server does not answer"
grep -q '^one ' "$T/list" || fail "list says: $(cat "$T/list")"
stop
clean

# With a reader that reads again all is said that there was room for.
serve <<-C
	[one]
	path = $(image two.img 16M)
C
stop
quiet
said 'detaching'
clean
exec {out_pipe}>&- {pipe}>&-
