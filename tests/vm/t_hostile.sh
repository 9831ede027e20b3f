#!/bin/bash
# A driver that breaks every rule, on vhost-vdpa: only its own queue suffers, and only until it is
# reset. HOSTILE_RANDOM: how many random chains; HOSTILE_SEED: which. HOSTILE_PIN=yes: with its
# memory pinned.
# deadline: 900
. tests/vm/lib.sh

hostile=$(dirname "$VDUSE_BLK")/../tests/hostile/hostile
chains=${HOSTILE_RANDOM:-5000}
seed=${HOSTILE_SEED:-1}
pin=${HOSTILE_PIN:-no}

# What a driver can make the server say. Each line is held back after ten of its kind.
expected='invalid request, completed with|queue [0-9]+ stopped |refused the driver: |lines? .*suppressed'
expected+='|cannot map IOVA|no mapping for IOVA'
expected+='|bytes of guest memory are not registered'
expected+='|queue [0-9]+: (read|write|discard|write zeroes|flush)'

attack() {
	"$hostile" "$1" "${NODE[victim]}" "${NODE[other]}" "${NODE[locked]}" "${@:2}" \
		>"$T/hostile" 2>&1 || fail "$1: $(tail -n 40 "$T/hostile")"
}

for name in victim other locked; do
	image $name.img 64M >/dev/null
done
before=$(checksum "$T/locked.img")
serve <<-C
	[global]
	runtime_dir = $T/run
	[victim]
	path = $T/victim.img
	driver = vhost-vdpa
	queues = 2
	pin_guest_memory = $pin
	[other]
	path = $T/other.img
	driver = vhost-vdpa
	queues = 2
	[locked]
	path = $T/locked.img
	driver = vhost-vdpa
	queues = 2
	readonly = yes
C

# The thread sanitizer takes most of a process's addresses for itself, and maps as it goes.
slack=32
if grep -q libtsan "/proc/$SERVER/maps"; then
	export HOSTILE_FEW_ADDRESSES=1
	slack=256
fi

attack cases kicks-for-nothing
fds_before=$(fds) maps_before=$(maps)
attack cases
say "$(tail -n 1 "$T/hostile")"

# One chain may not use up the mappings that a process may have.
max_maps=$(cat /proc/sys/vm/max_map_count)
defer sysctl -q "vm.max_map_count=$max_maps"
echo $(($(maps) + 300)) >/proc/sys/vm/max_map_count
attack cases pages-truncated
echo "$max_maps" >/proc/sys/vm/max_map_count

attack random "$seed" "$chains"
say "$(tail -n 1 "$T/hostile")"

kill -0 "$SERVER" || fail "the server died"
# What a driver mapped goes when it does; the allocator may have grown.
idle_threads_end
[ "$(fds)" -le "$fds_before" ] || fail "descriptors: $fds_before before, $(fds) now"
[ "$(maps)" -le $((maps_before + slack)) ] || fail "mappings: $maps_before before, $(maps) now"
is "the read-only image" "$(checksum "$T/locked.img")" "$before"
stop
quiet "$expected"

# A device with a slow store, in the same thread as another that must not wait for it.
null_disk 64 irqmode=2 completion_nsec=3000000000 hw_queue_depth=1024
serve <<-C
	[global]
	runtime_dir = $T/run
	workers = 1
	[victim]
	path = $DISK
	driver = vhost-vdpa
	queues = 2
	queue_size = 512
	pin_guest_memory = $pin
	[other]
	path = $T/other.img
	driver = vhost-vdpa
	queues = 2
	[locked]
	path = $T/locked.img
	driver = vhost-vdpa
	queues = 2
	readonly = yes
C
attack cases hog-slow-store
stop
quiet
[ "$(wc -l <"$T/err")" -lt 3000 ] || fail "$(wc -l <"$T/err") lines from the server"
clean
