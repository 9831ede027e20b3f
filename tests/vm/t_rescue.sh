#!/bin/bash
# Disks without a server: rescue completes their requests with errors; gc removes devices that have
# neither a server nor a driver.
# expect-dmesg: error, dev vd|Buffer I/O error on dev|I/O error|EXT4-fs|Aborting journal
# once
. tests/vm/lib.sh

rescue() {
	timeout 60 "$VDUSE_BLK" rescue "$1" -c "$T/conf" >"$T/rescue" 2>&1 ||
		fail "rescue $1: status $?: $(cat "$T/rescue")"
}

killed() {
	kill -9 "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	SERVER=
}

gc() {
	"$VDUSE_BLK" gc "$@" >"$T/gc" 2>&1 || fail "gc: $(cat "$T/gc")"
}

with_record() {
	serve <<-C
		[global]
		runtime_dir = $T/run
		[disk]
		path = $img
		queues = 2
	C
	node=${NODE[disk]}
}

img=$(image disk.img 64M)

# Much in flight, in no order.
with_record
fio --name=x --filename="$node" --ioengine=io_uring --direct=1 --rw=randrw --bs=16k --iodepth=32 \
	--time_based --runtime=600 >"$T/fio" 2>&1 &
fio=$!
wait_for 30 "request in flight" under_way "$node" 8
killed
gc --dry-run
grep -q "^disk unserved, attached as $node: " "$T/gc" || fail "gc: $(cat "$T/gc")"
gc
[ -b "$node" ] || fail "gc took a disk away that is in use"
rescue disk
status=0
wait $fio || status=$?
[ $status -ne 0 ] || fail "fio saw no error: $(cat "$T/fio")"
clean
[ -z "$(ls "$T/run")" ] || fail "left in runtime_dir: $(ls "$T/run")"

# A mounted file system: unmounting it is possible again, and then the disk goes.
with_record
mkfs.ext4 -q "$node"
mkdir "$T/mnt"
mount "$node" "$T/mnt"
killed
cp /etc/passwd "$T/mnt/" && sync -f "$T/mnt" >"$T/sync" 2>&1 &
stuck=$!
sleep 1
kill -0 $stuck || fail "a write to an unserved disk has ended"
timeout 60 "$VDUSE_BLK" rescue disk -c "$T/conf" >"$T/rescue" 2>&1 &
rescuer=$!
wait $stuck || true
wait_for 30 "word of the mount" grep -q "in use: mounted on $T/mnt.*, or until a signal$" "$T/rescue"
umount "$T/mnt"
wait $rescuer || fail "rescue: status $?: $(cat "$T/rescue")"
clean

# Without a record it is assumed that requests ended in their order.
with_record
dd if=/dev/zero of="$node" bs=64k oflag=direct conv=notrunc status=none 2>"$T/dd" &
dd=$!
wait_for 30 "request" under_way "$node" 1
killed
rm "$T/run/disk.inflight"
rescue disk
wait $dd && fail "dd saw no error"
grep -q 'Input/output error' "$T/dd" || fail "not EIO: $(cat "$T/dd")"
clean

# A disk of another program, with other features, of which there never was a record; one that it had
# not attached yet.
storage_daemon() {
	qemu-storage-daemon --blockdev "driver=file,filename=$img,node-name=d0,aio=threads" \
		--export "type=vduse-blk,id=e0,node-name=d0,name=$1,writable=on,num-queues=2,queue-size=128" &
	SERVER=$!
	wait_for 30 "/dev/vduse/$1" test -e "/dev/vduse/$1"
}
modprobe vhost_vdpa
storage_daemon other
echo 0 >/sys/bus/vdpa/drivers_autoprobe
vdpa dev add name other mgmtdev vduse
echo virtio_vdpa >/sys/bus/vdpa/devices/other/driver_override
echo other >/sys/bus/vdpa/drivers_probe
echo 1 >/sys/bus/vdpa/drivers_autoprobe
node=/dev/$(basename /sys/bus/vdpa/devices/other/virtio*/block/vd*)
wait_for 30 "node" test -b "$node"
settle_udev
dd if=/dev/zero of="$node" bs=64k oflag=direct conv=notrunc status=none 2>"$T/dd" &
dd=$!
wait_for 30 "request" under_way "$node" 1
killed
rescue other
wait $dd && fail "dd saw no error"
clean
storage_daemon idle
killed
gc
is "words of gc" "$(cat "$T/gc")" "idle removed"
clean

# What is served is left alone; what is not there is said.
with_record
gc
is "words of gc" "$(cat "$T/gc")" "disk served"
gc_as_nobody() {
	local status=0
	setpriv --reuid=nobody --regid=nogroup --clear-groups "$VDUSE_BLK" gc --dry-run >"$T/gc" 2>&1 || status=$?
	is "status of gc without permission" $status 1
	grep -q 'gc needs to be root' "$T/gc" || fail "gc without permission: $(cat "$T/gc")"
}
gc_as_nobody
status=0
"$VDUSE_BLK" rescue disk >"$T/rescue" 2>&1 || status=$?
is "status of a rescue of a served disk" $status 1
grep -q 'another process serves' "$T/rescue" || fail "rescue: $(cat "$T/rescue")"
stop
quiet
status=0
"$VDUSE_BLK" rescue disk >"$T/rescue" 2>&1 || status=$?
is "status of a rescue of nothing" $status 1
grep -q 'no VDUSE device of that name' "$T/rescue" || fail "rescue: $(cat "$T/rescue")"
gc_as_nobody
clean
