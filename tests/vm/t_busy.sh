#!/bin/bash
# A disk in use is not detached: the server names its users and goes on serving it, until it is no longer
# in use, or until a second signal.
# expect-dmesg: I/O error|EXT4-fs|JBD2|Aborting journal
# once
. tests/vm/lib.sh

img=$(image disk.img 64M)
vimg=$(image vhost.img 16M)
mkdir "$T/mnt"

serve_disk() {
	serve <<-C
		[disk]
		path = $img
	C
	node=${NODE[disk]}
}

serve_vhost() {
	serve <<-C
		[guest]
		path = $vimg
		driver = vhost-vdpa
	C
	node=${NODE[guest]}
}

signal() {
	settle_udev
	kill -TERM "$SERVER"
}

# The server names a user of its node, once, and goes on: in_use PATTERN
in_use() {
	wait_for 30 "word of the server about '$1'" grep -qE -- "$1" "$T/err"
	sleep 2.5 # it looks again every second
	is "number of warnings" "$(grep 'warning: ' "$T/err" | grep -vc 'another program')" 1
	said "warning: [a-z]+: $node is in use: $1"
	! server_ended || fail "the server ended, but its disk is in use"
}

# A client of the vhost-vdpa node that stays: it does what is written to descriptor 9.
client() {
	mkfifo "$T/orders"
	qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=$node,cache.direct=on" \
		<"$T/orders" >"$T/client" 2>&1 &
	CLIENT=$!
	disown $CLIENT
	defer reap $CLIENT
	exec 9>"$T/orders"
	rm "$T/orders"
}

# client_does COMMAND ANSWER: the client's command has been done.
client_does() {
	echo "$1" >&9
	wait_for 60 "answer to the client's $1" grep -q "$2" "$T/client"
	! grep -qE 'failed|rror' "$T/client" || fail "the client: $(cat "$T/client")"
}

# Mounted: it says where, the file system goes on, and umount is all that is needed.
serve_disk
mkfs.ext4 -q "$node"
mount "$node" "$T/mnt"
echo before >"$T/mnt/before"
signal
in_use "mounted on $T/mnt"
echo after >"$T/mnt/after"
sync -f "$T/mnt"
is "a file" "$(cat "$T/mnt/before")" before
umount "$T/mnt"
ended
quiet 'is in use'
clean
e2fsck -fn "$img" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
is "what was written after the signal" "$(debugfs -R 'cat after' "$img" 2>/dev/null)" after

# Mounted, and a second signal: taken away. The mount is dead, and nothing else.
serve_disk
mount "$node" "$T/mnt"
echo third >"$T/mnt/third"
signal
in_use "mounted on $T/mnt"
kill -TERM "$SERVER"
ended
quiet 'is in use'
clean
if touch "$T/mnt/late" 2>/dev/null && sync -f "$T/mnt" 2>/dev/null; then
	fail "a file system whose disk is gone takes files"
fi
umount "$T/mnt"
e2fsck -fy "$img" >"$T/fsck" 2>&1 || [ $? -eq 1 ] || fail "e2fsck: $(cat "$T/fsck")"

# Held open: it says by whom. The second signal takes it away.
serve_disk
sleep 600 <"$node" &
holder=$!
defer reap $holder
wait_for 10 "holder" test "/proc/$holder/fd/0" -ef "$node"
signal
in_use "opened by sleep \\(pid $holder\\)"
kill -TERM "$SERVER"
ended
quiet 'is in use'
clean
kill $holder

# Held open for a moment: no second signal is needed.
serve_disk
sleep 10 <"$node" & # longer than in_use takes on a busy machine
signal
in_use "opened by sleep"
ended
quiet 'is in use'
clean

# Two disks whose nodes were exchanged by hand meanwhile: the right one is spared.
other=$(image other.img 16M)
serve <<-C
	[disk]
	path = $img
	[other]
	path = $other
C
first=${NODE[disk]} second=${NODE[other]}
settle_udev
echo disk >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
echo other >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
echo other >/sys/bus/vdpa/drivers/virtio_vdpa/bind
echo disk >/sys/bus/vdpa/drivers/virtio_vdpa/bind
if [ "$(sysfs "$first" serial)" = other ] && [ "$(sysfs "$second" serial)" = disk ]; then
	node=$second
	mount "$node" "$T/mnt"
	signal
	in_use "mounted on $T/mnt"
	said "disk: $second is in use"
	echo exchanged >"$T/mnt/exchanged"
	sync -f "$T/mnt" || fail "the disk was torn away under its file system"
	umount "$T/mnt"
	ended
else
	fail "the nodes were not exchanged: $first is $(sysfs "$first" serial)"
fi
quiet 'is in use'
clean

# A client on vhost-vdpa. Unbinding would wait for it, so the second signal leaves the device in the
# kernel. A new server goes on with it, and the client notices a pause.
serve_vhost
client
client_does 'write -P 0x41 0 1M' 'wrote 1048576/1048576 bytes at offset 0'
signal
in_use "opened by qemu-io \\(pid $CLIENT\\)"
client_does 'write -P 0x42 1M 1M' 'wrote 1048576/1048576 bytes at offset 1048576'
kill -TERM "$SERVER"
ended 1
is "number of errors" "$(grep -c "error: " "$T/err")" 1
said "error: guest: $node is still in use: opened by qemu-io \\(pid $CLIENT\\); it is left in the kernel"
[ -e /sys/bus/vdpa/devices/guest ] || fail "the device is not in the kernel any more"
echo 'write -P 0x43 2M 1M' >&9
sleep 1
serve_vhost
client_does 'read -P 0x41 0 1M' 'read 1048576/1048576 bytes at offset 0'
grep -q 'wrote 1048576/1048576 bytes at offset 2097152' "$T/client" ||
	fail "a request from between two servers was lost: $(cat "$T/client")"
echo quit >&9
wait_for 30 "end of the client" process_ended "$CLIENT"
stop
quiet
clean
for n in 0 1 2; do
	filled "$vimg" 10$((n + 1)) 1M ${n}M || fail "the image does not have what the client wrote at ${n}M"
done

# The same, and the client dies while nobody serves it. Whatever it waits for ends with a new server.
serve_vhost
client
client_does 'write -P 0x44 0 1M' 'wrote 1048576/1048576 bytes at offset 0'
signal
in_use "opened by qemu-io \\(pid $CLIENT\\)"
kill -TERM "$SERVER"
ended 1
kill -KILL "$CLIENT"
exec 9>&-
sleep 1
serve_vhost
wait_for 30 "end of the client" process_ended "$CLIENT"
timeout 60 qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=$node,cache.direct=on" \
	-c 'read -P 0x44 0 1M' >"$T/client" 2>&1 || fail "the next client: $(cat "$T/client")"
stop
quiet
clean

# And without a new server: with a limit for the kernel's patience, which the server had taken away,
# the client can go, and what is left can be removed by hand.
serve_vhost
client
client_does 'read 0 4k' 'read 4096/4096'
signal
in_use "opened by qemu-io"
kill -TERM "$SERVER"
ended 1
echo 1 >/sys/class/vduse/guest/msg_timeout
kill -KILL "$CLIENT"
exec 9>&-
wait_for 30 "end of the client" process_ended "$CLIENT"
timeout 30 vdpa dev del guest || fail "vdpa dev del of what was left: status $?"
serve_vhost
said 'guest: replaced a VDUSE device of this name that no server used'
timeout 60 qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=$node,cache.direct=on" \
	-c 'read -P 0x44 0 1M' >"$T/client" 2>&1 || fail "the next client: $(cat "$T/client")"
stop
quiet
clean
