#!/bin/bash
# iopoll: completions of a disk with poll queues are polled for, and nothing else of it changes.
# KILLS: how often (1)
# expect-dmesg: I/O error
# once
. tests/vm/lib.sh
. tests/vm/load.sh

kills=${KILLS:-1}
trace=/sys/kernel/tracing
mountpoint -q $trace || mount -t tracefs tracefs $trace

forget_polls() {
	echo 0 >$trace/events/iopoll/found/enable
	echo >$trace/kprobe_events
	echo >$trace/trace
}

# polled COMMAND...: runs it, and prints how many completions null_blk gave to somebody who polled
polled() {
	echo >$trace/trace
	echo 1 >$trace/events/iopoll/found/enable
	"$@"
	echo 0 >$trace/events/iopoll/found/enable
	sed -n 's/.* found=\([0-9]*\)$/\1/p' $trace/trace | awk '{ n += $1 } END { print n + 0 }'
}

ticks() {
	awk '{ print $14 + $15 }' "/proc/$SERVER/stat"
}

# CPU time is used while requests are under way, and at no other time.
is_idle() {
	local before
	before=$(ticks)
	sleep 1
	[ $(($(ticks) - before)) -le 1 ]
}

idle() {
	settle_udev
	wait_for 60 "a second without CPU time for an idle disk" is_idle
}

config() {
	cat >"$T/conf" <<-C
		[global]
		runtime_dir = $T/run
		workers = 1
		[raw]
		path = $1
		iopoll = $2
		queues = 2
		[other]
		path = $other
	C
}

reads() {
	dd if="${NODE[raw]}" of=/dev/null bs=4k count=256 iflag=direct status=none
}

verify() {
	fio_verify --size=4m --offset_increment=16m --numjobs=2 --name=raw --filename="${NODE[raw]}" \
		--name=other --filename="${NODE[other]}" --numjobs=1
}

guest() {
	qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=${NODE[part]},cache.direct=on" \
		-c 'write -P 0x11 0 1M' -c 'flush' -c 'read -P 0x11 0 1M' >"$T/io" 2>&1 ||
		fail "qemu-io: $(cat "$T/io")"
}

other=$(image other.img 32M)
null_disk 64 poll_queues=0
none=$DISK
null_disk 64 poll_queues=1 discard=1
is "io_poll of $DISK" "$(sysfs "$DISK" queue/io_poll)" 1
echo 'r:iopoll/found null_poll found=$retval:s32' >$trace/kprobe_events
defer forget_polls
echo 'found > 0' >$trace/events/iopoll/found/filter

# Without it nobody polls.
config "$DISK" no
start_server
is "completions polled for with iopoll = no" "$(polled reads)" 0
stop

# With it somebody does for every read, next to a disk without.
config "$DISK" yes
start_server
quiet
found=$(polled reads)
[ "$found" -ge 256 ] || fail "of 256 reads $found were polled for"
verify
idle

# Discards, zeroes and flushes are none of its business.
fill "${NODE[raw]}" 245 8M
blkdiscard -z --offset 1M --length 1M "${NODE[raw]}"
blkdiscard --offset 4M --length 1M "${NODE[raw]}"
filled "${NODE[raw]}" 245 1M || fail "what was written is not there"
filled "${NODE[raw]}" 0 1M 1M || fail "what was zeroed is not zero"
filled "${NODE[raw]}" 245 2M 2M || fail "what was written is not there"

# A server is killed with requests under way, again and again, and another takes over.
load_start raw
for i in $(seq "$kills"); do
	sleep "0.$((RANDOM % 10))"
	catch_requests "${NODE[raw]}" 8 part_ended raw
	if part_ended raw; then break; fi # early: load_ends() says why
	kill -9 "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	start_server
	catch_requests "${NODE[raw]}" 8 part_ended raw
	quiet
	take_over
done
load_ends 120 || fail "$WHY"
is "kills" "$i" "$kills"
quiet
[ "$(polled reads)" -ge 256 ] || fail "a new server does not poll"
idle

# The driver goes under load: what is in flight ends, and the disk comes back.
fio --name=u --filename="${NODE[raw]}" --ioengine=io_uring --direct=1 --rw=randread --bs=4k --iodepth=32 \
	--time_based --runtime=60 >"$T/fio" 2>&1 &
load=$!
catch_requests "${NODE[raw]}" 8
echo raw >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
wait $load || true
echo raw >/sys/bus/vdpa/drivers/virtio_vdpa/bind
wait_for 20 "disk" test -b "${NODE[raw]}"
reads
idle
stop
quiet 'another program unbound its driver'
clean

# Partitions and slices have the poll queues of their disk.
printf 'label: dos\n2048,32768,83\n' | sfdisk --quiet "$DISK"
settle_udev
serve <<-C
	[part]
	path = ${DISK}p1
	iopoll = yes
	offset = 1M
	size = 8M
	driver = vhost-vdpa
C
[ "$(polled guest)" -gt 0 ] || fail "nobody polled for the partition"
! grep -qE 'failed|rror' "$T/io" || fail "qemu-io: $(cat "$T/io")"
stop
quiet
clean

# What cannot be polled for is refused, with the reason.
refused 1 "file: iopoll = yes, but $other is a regular file" <<-C
	[file]
	path = $other
	iopoll = yes
C
refused 1 "none: iopoll = yes, but $none has no poll queues" <<-C
	[none]
	path = $none
	iopoll = yes
C
refused 2 'only O_DIRECT can be polled for' <<-C
	[cached]
	path = $DISK
	iopoll = yes
	cache = writeback
C
clean
