#!/bin/bash
# Resets with 128 requests in flight at a store that takes its time, or stops for a while: nothing
# of one driver's life reaches into the next one's memory, and nothing is lost that was promised.
# RESETS: how often (6)
. tests/vm/lib.sh

resets=${RESETS:-6}
hostile=$(dirname "$VDUSE_BLK")/../tests/hostile/hostile

# hold_back MILLISECONDS: dm-delay keeps a request before the disk moves any data: what is late comes
# with its data.
hold_back() {
	dmsetup suspend --noflush --nolockfs held
	dmsetup load held --table "0 32768 delay $DISK 0 $1"
	dmsetup resume held
}

# Each half a second: nothing ends for a moment, at any point of a driver's life.
stall_now_and_then() {
	while [ -d "$T" ] && [ ! -e "$T/enough" ]; do
		dmsetup suspend --noflush --nolockfs slow
		sleep 0.$((RANDOM % 3))
		dmsetup resume slow
		sleep 0.$((RANDOM % 5 + 1))
	done
}

attack() {
	"$hostile" resets "${NODE[slow]}" "/sys/block/$(basename "$(readlink -f /dev/mapper/slow)")/inflight" \
		"$1" >"$T/hostile" 2>&1 || fail "$(tail -n 5 "$T/hostile")"
	say "$(tail -n 1 "$T/hostile")"
}

modprobe dm_mod
modprobe dm_delay
null_disk 16 hw_queue_depth=256
# Another on top: it counts what is in flight, which dm-delay does not.
dmsetup create held --table "0 32768 delay $DISK 0 0"
defer dmsetup remove --retry held
dmsetup create slow --table "0 32768 linear /dev/mapper/held 0"
defer dmsetup remove --retry slow
defer settle_udev 60
defer dmsetup resume slow
serve <<-C
	[global]
	runtime_dir = $T/run
	[slow]
	path = /dev/mapper/slow
	driver = vhost-vdpa
	queues = 2
	queue_size = 512
C
# Until all 128 threads exist that do its reads and writes: longer on a busy machine.
for ((held_ms = 2000; held_ms <= 16000; held_ms *= 2)); do
	hold_back "$held_ms"
	attack 2
	! grep -q ' [1-9][0-9]* times 128 at the store' "$T/hostile" || break
done
[ "$held_ms" -le 16000 ] || fail "never were all requests at the store at once"
hold_back 250
idle_threads_end
fds_before=$(fds) maps_before=$(maps) rss_before=$(rss)
attack $((resets / 2))
stall_now_and_then &
stalls=$!
attack $((resets - resets / 2))
touch "$T/enough"
wait $stalls
hold_back 0
idle_threads_end
say "$(fds) descriptors, $(maps) mappings, $(rss) KiB; $fds_before, $maps_before, $rss_before before"
is "number of descriptors" "$(fds)" "$fds_before"
[ "$(maps)" -le $((maps_before + 32)) ] || fail "mappings pile up"
# The address sanitizer keeps what was freed for a while.
slack=4096
! grep -q libasan "/proc/$SERVER/maps" || slack=65536
[ "$(rss)" -le $((rss_before + slack + resets * 8)) ] || fail "memory piles up"
stop
quiet 'reply to [A-Z_]* delayed'
clean
