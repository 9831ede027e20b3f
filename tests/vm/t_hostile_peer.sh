#!/bin/bash
# The hostile driver bites: the same cases against qemu-storage-daemon's vduse-blk export. Its known
# weaknesses must show; what it does well is not our business.
# on request
. tests/vm/lib.sh

hostile=$(dirname "$VDUSE_BLK")/../tests/hostile/hostile
round=0 bitten=0

type qemu-storage-daemon vdpa >/dev/null || skip "no qemu-storage-daemon, or no vdpa"
modprobe vduse
modprobe vhost_vdpa

# A disk with latency has requests in flight for as long as it takes.
null_disk 64 irqmode=2 completion_nsec=2000000
slow=$DISK
for name in other locked; do
	image $name.img 64M >/dev/null
done

# Three exports, of which the kernel waits a second for an answer once their server is dead.
start_peer() {
	local name
	round=$((round + 1)) NODE=()
	local exports=(
		--blockdev "driver=host_device,node-name=victim,filename=$slow,cache.direct=on"
		--blockdev "driver=file,node-name=other,filename=$T/other.img"
		--blockdev "driver=file,node-name=locked,filename=$T/locked.img"
	)
	for name in victim other locked; do
		exports+=(--export "type=vduse-blk,id=$name,node-name=$name,name=$name$round,$(
			[ $name = locked ] || echo writable=on,
		)num-queues=2,queue-size=256")
	done
	qemu-storage-daemon "${exports[@]}" >"$T/err" 2>&1 &
	SERVER=$!
	for name in victim other locked; do
		wait_for 30 "device $name$round" test -e "/sys/class/vduse/$name$round/msg_timeout"
		echo 1 >"/sys/class/vduse/$name$round/msg_timeout"
		vdpa dev add name "$name$round" mgmtdev vduse
		wait_for 30 "node of $name$round" test -e "/sys/bus/vdpa/devices/$name$round"/vhost-vdpa-*
		NODE[$name]=/dev/$(basename "/sys/bus/vdpa/devices/$name$round"/vhost-vdpa-*)
		wait_for 30 "${NODE[$name]}" test -c "${NODE[$name]}"
	done
}

end_peer() {
	local name
	for name in victim other locked; do
		timeout 30 vdpa dev del "$name$round" || true
	done
	kill -KILL "$SERVER" 2>/dev/null || true
	wait "$SERVER" 2>/dev/null || true
	SERVER=
}

attack() {
	timeout 60 "$hostile" cases "${NODE[victim]}" "${NODE[other]}" "${NODE[locked]}" "$1" \
		>"$T/hostile" 2>&1
}

# First what every server stands: the driver itself is not to blame.
start_peer
attack header-in-bytes || fail "a harmless case: $(cat "$T/hostile")"
attack start-storm || fail "a harmless case: $(cat "$T/hostile")"
end_peer

for case in header-only header-of-15 status-only loop-self head-twice reset-in-flight; do
	start_peer
	if ! attack $case; then
		bitten=$((bitten + 1))
		say "$(head -n 1 "$T/hostile")"
		kill -0 "$SERVER" 2>/dev/null || say "    and the server is dead: $(tail -n 1 "$T/err")"
	fi
	end_peer
done
[ $bitten -gt 0 ] || fail "qemu-storage-daemon stood all of them"
