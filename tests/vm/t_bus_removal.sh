#!/bin/bash
# Another program removes a served disk from the vdpa bus, adds it again, or unbinds its driver: the
# server notices and logs it, and data that is written afterwards is in the store.
# once
. tests/vm/lib.sh

img=$(image disk.img 16M)

state() {
	"$VDUSE_BLK" list -c "$T/conf" | awk 'NR > 1 { print $4, $2 }'
}

has_state() {
	# shellcheck disable=SC2053 # it is a pattern
	[[ "$(state)" = $1 ]]
}

# The disk is whole, whatever node it has now: check_data BYTE
check_data() {
	local node
	wait_for 30 "disk" has_state "attached /dev/vd*"
	node=$(state)
	node=${node#* }
	fill "$node" "$1" 4M
	filled "$img" "$1" 4M || fail "the image has not what was written"
	echo 3 >/proc/sys/vm/drop_caches
	filled "$node" "$1" 4M || fail "the disk has not what was written"
}

readd() {
	# The server may be making the device anew at this moment.
	wait_for 30 "device that can be added again" vdpa dev add name disk mgmtdev vduse
	udevadm settle --timeout=30 || true
}

for umem in on off; do
	serve <<-C
		[disk]
		path = $img
		umem = $umem
	C
	check_data 101

	# Off the bus and on again before the server can do anything about it.
	for n in 1 2; do
		vdpa dev del disk
		readd
		check_data 11$n
	done

	# Off the bus for a while.
	vdpa dev del disk
	wait_for 30 "word of the removal" has_state 'removed -'
	said 'warning: disk: another program removed it from the vdpa bus'
	readd
	check_data 121
	[ "$(grep -c "^disk /dev/" "$T/out")" -ge 2 ] || fail "no line on standard output about a disk that came back"

	# Its driver is unbound, and bound again.
	echo disk >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
	wait_for 30 "word of the unbinding" has_state 'unbound -'
	said 'warning: disk: another program unbound its driver'
	echo disk >/sys/bus/vdpa/drivers/virtio_vdpa/bind
	check_data 131

	stop
	quiet 'another program (removed|unbound)'
	clean
done

# Removed, and then the server ends.
serve <<-C
	[disk]
	path = $img
C
vdpa dev del disk
wait_for 30 "word of the removal" has_state 'removed -'
stop
quiet 'another program removed'
clean
