#!/bin/bash
# Eight disks of one server, four for this host and four for virtual machines: each node leads to
# its own store, all work at the same time, and nothing is left of any.
. tests/vm/lib.sh

# Sizes differ, so that a node that leads to a wrong store is seen.
for n in 1 2 3 4; do
	printf '[host%s]\npath = %s\n' $n "$(image host$n.img $((8 + n))M)"
	printf '[guest%s]\npath = %s\ndriver = vhost-vdpa\n' $n "$(image guest$n.img $((16 + n))M)"
done >"$T/eight"
serve <"$T/eight"
is "devices in the order of the file" "$(cut -d' ' -f1 "$T/out" | paste -sd' ')" \
	"host1 guest1 host2 guest2 host3 guest3 host4 guest4"
is "different nodes" "$(cut -d' ' -f2 "$T/out" | sort -u | wc -l)" 8
is "devices on the bus" "$(find /sys/bus/vdpa/devices -mindepth 1 | wc -l)" 8
for n in 1 2 3 4; do
	[ -b "${NODE[host$n]}" ] || fail "${NODE[host$n]} is no block device"
	is "size of host$n" "$(blockdev --getsize64 "${NODE[host$n]}")" $(((8 + n) * 1048576))
	is "serial of host$n" "$(sysfs "${NODE[host$n]}" serial)" host$n
	[ -c "${NODE[guest$n]}" ] || fail "${NODE[guest$n]} is no character device"
	[ -d "/sys/bus/vdpa/devices/guest$n/${NODE[guest$n]#/dev/}" ] || fail "${NODE[guest$n]} is not guest$n"
done

# Each guest writes its own number all over its disk and reads it, many requests at a time.
guest() {
	local n=$1 at commands=()
	for ((at = 0; at < 16 + n; at++)); do
		commands+=(-c "aio_write -q -P $((n + 64)) ${at}M 1M")
	done
	commands+=(-c aio_flush)
	for ((at = 0; at < 16 + n; at++)); do
		commands+=(-c "read -q -P $((n + 64)) ${at}M 1M")
	done
	timeout 120 qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=${NODE[guest$n]},cache.direct=on" \
		"${commands[@]}" >"$T/guest$n.out" 2>&1
}

pids=()
jobs=()
for n in 1 2 3 4; do
	guest $n &
	pids+=($!)
	jobs+=(--name=host$n --filename="${NODE[host$n]}")
done
fio_verify --size=8M "${jobs[@]}"
for n in 1 2 3 4; do
	wait "${pids[n - 1]}" || fail "qemu-io on guest$n: $(cat "$T/guest$n.out")"
	[ ! -s "$T/guest$n.out" ] || fail "qemu-io on guest$n: $(cat "$T/guest$n.out")"
	checksum "${NODE[host$n]}" >"$T/host$n.sum"
done
nodes=("${NODE[@]}")
stop
quiet
clean
for node in "${nodes[@]}"; do
	[ ! -e "$node" ] || fail "$node is left"
done
for n in 1 2 3 4; do
	is "the image of host$n" "$(checksum "$T/host$n.img")" "$(cat "$T/host$n.sum")"
	is "the image of guest$n" "$(checksum "$T/guest$n.img")" \
		"$(head -c $((16 + n))M /dev/zero | tr '\0' "\\10$n" | md5sum)"
done
