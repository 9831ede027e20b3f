#!/bin/bash
# umem, bounce_size, poll_us and workers: each has the effect it is there for, and data stays right.
# once
. tests/vm/lib.sh

img=$(image disk.img 32M)

# One disk with the given lines in its section, and a round of verified I/O on it:
# exercise WORKERS LINES [QUEUES]
exercise() {
	printf '[global]\nworkers = %s\nruntime_dir = %s\n[opt]\npath = %s\nqueues = %s\n%s\n' \
		"$1" "$T/run" "$img" "${3:-2}" "$2" >"$T/options"
	serve <"$T/options"
	fio --name=v --filename="${NODE[opt]}" --ioengine=io_uring --direct=1 --rw=randrw \
		--bsrange=512-128k --size=2m --iodepth=16 --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 >"$T/fio" 2>&1 || fail "fio with '$2': $(cat "$T/fio")"
}

ticks() {
	awk '{ print $14 + $15 }' "/proc/$SERVER/stat"
}

# One that spins has no such second; but whoever wrote may have udev look at the disk for a while.
is_idle() {
	local before
	before=$(ticks)
	sleep 1
	[ $(($(ticks) - before)) -le 1 ]
}

# CPU time, in ticks, that one read costs, with what follows it.
ticks_of_a_read() {
	local before
	before=$(ticks)
	dd if="${NODE[opt]}" of=/dev/null bs=4k count=1 iflag=direct status=none
	sleep 1
	echo $(($(ticks) - before))
}

pinned_kib() {
	awk '/^VmPin/ { print $2 }' "/proc/$SERVER/status"
}

# 16 MiB of bounce memory: VDUSE has pinned it, and the worker's ring, which Linux 7 does not count.
is_pinned() {
	[ "$(pinned_kib)" -eq $((16 << 10)) ] || [ "$(pinned_kib)" -eq $((32 << 10)) ]
}

threads() {
	cat /proc/"$SERVER"/task/*/comm | grep -c '^worker'
}

# Every thread is an I/O flusher: PF_MEMALLOC_NOIO (linux/sched.h) in the ninth word.
all_flushers() {
	awk '{ sub(/.*\) /, ""); if (int($7 / 524288) % 2 == 0) exit 1 }' /proc/"$SERVER"/task/*/stat
}

locked_kib() {
	awk '/^VmLck/ { print $2 }' "/proc/$SERVER/status"
}

exercise auto "umem = off"
all_flushers || fail "a thread is no I/O flusher"
# The sanitizers make mlockall() do nothing.
[ "$(locked_kib)" -gt 0 ] || grep -Eq 'lib[at]san' "/proc/$SERVER/maps" || fail "memory is not locked"
[ "$(pinned_kib)" -eq 0 ] || fail "umem = off, but $(pinned_kib) KiB are pinned"
[ "$(cat /sys/class/vduse/opt/bounce_size)" -eq $((64 << 20)) ] || fail "bounce_size by default"
[ "$(threads)" -eq 2 ] || fail "$(threads) workers for 2 queues on $(nproc) CPUs"
[ "$(grep -c 'cannot be pinned' "$T/err")" -le 1 ] || fail "said more than once: $(cat "$T/err")"
stop
quiet

exercise auto "umem = off" 16
[ "$(cat /sys/class/vduse/opt/bounce_size)" -eq $((128 << 20)) ] || fail "bounce_size for 16 queues"
stop
quiet

# By default it is ours while it is a small part of the machine's memory.
for size in 16M 1G; do
	exercise 1 "bounce_size = $size"
	pinned=$(pinned_kib)
	[ $size = 1G ] || is_pinned || fail "umem = auto pins $pinned KiB"
	[ $size = 16M ] || [ "$pinned" -eq 0 ] || fail "umem = auto pins $pinned KiB of $size"
	stop
	quiet
done

exercise 1 $'umem = on\nbounce_size = 16M'
is_pinned || fail "umem = on pins $(pinned_kib) KiB, neither 16 MiB nor twice that"
[ "$(cat /sys/class/vduse/opt/bounce_size)" -eq $((16 << 20)) ] || fail "bounce_size"
[ "$(threads)" -eq 1 ] || fail "$(threads) workers, not 1"

# The driver goes and comes back: the memory stays registered, and is used again.
echo opt >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
echo opt >/sys/bus/vdpa/drivers/virtio_vdpa/bind
wait_for 10 "disk" test -b "${NODE[opt]}"
fio --name=v --filename="${NODE[opt]}" --ioengine=io_uring --direct=1 --rw=randrw --bsrange=512-128k \
	--size=4m --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 >"$T/fio" 2>&1 ||
	fail "fio after a rebind with umem: $(cat "$T/fio")"
is_pinned || fail "after a rebind $(pinned_kib) KiB are pinned"
stop
quiet

exercise 1 "poll_us = 0"
sleep 1
off=$(ticks_of_a_read)
stop
exercise 1 "poll_us = 500000"
sleep 1
on=$(ticks_of_a_read)
wait_for 60 "a second without CPU time for an idle disk" is_idle
stop
say "a read costs $off ticks of CPU time with poll_us = 0, $on with 500000"
[ "$on" -ge $((off + 20)) ] || fail "poll_us has no effect: $off ticks without, $on with"

exercise 1 "poll_us = auto"
wait_for 60 "a second without CPU time for an idle disk with poll_us = auto" is_idle
stop
quiet
clean
