#!/bin/bash
# An administrator takes a disk away that no server has: "vdpa dev del" and an unbind wait in the
# kernel for a server. rescue and serve bring them to an end; gc says what is going on.
# deadline: 600
# expect-dmesg: error, dev vd|Buffer I/O error on dev|I/O error|EXT4-fs|Aborting journal|JBD2
# once
. tests/vm/lib.sh

class=/sys/class/vduse/disk/disk # the vdpa device, as long as the kernel has it
bus=/sys/bus/vdpa/devices/disk
remover=
rescuer=

# Not a shell's child in the foreground, which would hang with it: within SECONDS COMMAND...
# Sets STATUS; the words go to $T/words.
within() {
	local seconds=$1 pid
	shift
	"$@" >"$T/words" 2>&1 &
	pid=$!
	wait_for "$seconds" "end of $(basename "$1") $2: $(cat "$T/words")" process_ended $pid
	STATUS=0
	wait $pid || STATUS=$?
}

says() {
	grep -qE -- "$1" "${2:-$T/words}" || fail "not '$1', but: $(cat "${2:-$T/words}")"
}

# Whatever fails: nobody may sleep in the kernel at the end, or the machine does not go down.
set_free() {
	if [ -n "$remover" ] && kill -9 "$remover" 2>/dev/null && [ -e $class ]; then
		"$VDUSE_BLK" rescue disk -c "$T/conf" &
		wait_for 30 "removal" test ! -e $class
	fi
}
trap 'status=$?; (set_free); (exit $status); finish' EXIT

configured() {
	cat <<-C
		[global]
		runtime_dir = $T/run
		[disk]
		path = $T/disk.img
		queues = 2
	C
}

killed() {
	kill -9 "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	SERVER=
}

# A disk that is mounted, with something that is not written yet, or an idle one; its server is killed.
unserved() {
	truncate -s 0 "$T/disk.img"
	truncate -s 64M "$T/disk.img"
	serve < <(configured)
	node=${NODE[disk]}
	if [ "$1" = mounted ]; then
		mkfs.ext4 -q "$node"
		mkdir -p "$T/mnt"
		mount "$node" "$T/mnt"
		cp /etc/passwd "$T/mnt/"
	fi
	settle_udev
	killed
}

unmounted() {
	if [ "$1" = mounted ]; then umount "$T/mnt"; fi
}

del() {
	vdpa dev del disk &
	remover=$!
	wait_for 30 "removal that begins" off_the_bus
}

off_the_bus() {
	[ ! -e $bus ] && [ -e $class ]
}

unbind() {
	bash -c 'echo disk >/sys/bus/vdpa/drivers/virtio_vdpa/unbind' &
	remover=$!
	wait_for 30 "unbind that begins" test ! -e $bus/driver
}

# The task that removes it came to its end, and well.
removed() {
	local status=0
	wait_for 60 "end of the removal" process_ended $remover
	wait $remover || status=$?
	remover=
	is "status of the removal" $status 0
}

gc_says_so() {
	local option
	for option in --dry-run --; do
		within 30 "$VDUSE_BLK" gc $option
		is "status of gc $option" $STATUS 0
		says '^disk unserved, being removed: '
		[ -e $class ] || fail "gc $option ended it"
	done
}

# Errors end it, and what was left is destroyed: rescued STATE WAY
rescued() {
	unserved "$1"
	"$2"
	gc_says_so
	within 60 "$VDUSE_BLK" rescue disk -c "$T/conf"
	is "status of rescue ($1, $2)" $STATUS 0
	removed
	clean
	unmounted "$1"
	[ -z "$(ls "$T/run")" ] || fail "left in runtime_dir: $(ls "$T/run")"
	if grep -E 'another process serves|look up|cannot|still' "$T/words"; then
		fail "what rescue says is not true"
	fi
}

rescued mounted del
rescued mounted unbind
rescued idle del

# A server with the store: what had been written is there, and the disk comes back: served_again STATE WAY
served_again() {
	unserved "$1"
	"$2"
	start_server
	removed
	unmounted "$1"
	if [ "$1" = mounted ]; then
		mount "${NODE[disk]}" "$T/mnt"
		cmp /etc/passwd "$T/mnt/passwd" || fail "what was written is not there"
		umount "$T/mnt"
	fi
	fill_direct "${NODE[disk]}" 101 256K
	filled "$T/disk.img" 101 256K || fail "what is written does not get into the store"
	stop
	quiet
	clean
}

served_again mounted del
served_again mounted unbind
served_again idle unbind

# Both, one behind the other.
unserved mounted
unbind
vdpa dev del disk &
second=$!
within 60 "$VDUSE_BLK" rescue disk -c "$T/conf"
is "status of rescue" $STATUS 0
removed
wait $second || true # whichever came first
clean
umount "$T/mnt"

# Another disk, unbound, waits behind the netlink request that does not end; gc does not.
serve <<-C
	[global]
	runtime_dir = $T/run2
	[other]
	path = $(image other.img 16M)
C
echo other >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
killed
unserved idle
del
within 30 "$VDUSE_BLK" gc
is "status of gc" $STATUS 1
says '^disk unserved, being removed: '
says 'other: has no server and no driver; .*another device'
within 60 "$VDUSE_BLK" rescue disk -c "$T/conf"
is "status of rescue" $STATUS 0
removed
within 30 "$VDUSE_BLK" gc
is "status of gc" $STATUS 0
clean

# A removal that waits for somebody else, who has it open: rescue serves until then, and a signal is
# enough to end it.
serve <<-C
	[global]
	runtime_dir = $T/run
	[disk]
	path = $T/disk.img
	driver = vhost-vdpa
C
sleep infinity 9<>"${NODE[disk]}" &
machine=$!
killed
del
rescue_in_background() {
	"$VDUSE_BLK" rescue disk -c "$T/conf" >"$T/rescue" 2>&1 &
	rescuer=$!
	wait_for 30 "word of the removal" grep -q 'being removed.*, or until a signal' "$T/rescue"
}
rescue_in_background
within 30 "$VDUSE_BLK" gc
is "words of gc" "$(cat "$T/words")" "disk served"
kill -TERM $rescuer
wait_for 30 "end of rescue" process_ended $rescuer
status=0
wait $rescuer || status=$?
is "status of rescue" $status 1
says 'still being removed' "$T/rescue"
rescue_in_background
kill $machine
removed
wait_for 30 "end of rescue" process_ended $rescuer
wait $rescuer || fail "rescue: $(cat "$T/rescue")"
clean
