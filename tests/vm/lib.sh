# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every test of the VM tier starts with: serve, stop, and the promise that nothing is left.
#
# A test is tests/vm/t_GROUP_NAME.sh. It runs as root in a virtual machine with a VDUSE kernel.
. tests/lib/server.sh
. tests/lib/stores.sh

# Whoever closed a disk after writing had udev open it once more, which is not what is tested. On a
# busy machine udevd may not answer in time; then the server waits for udev, as it should.
settle_udev() {
	udevadm settle --timeout="${1:-30}" || true
}

# Nothing in the kernel: clean
clean() {
	local left
	left=$(ls /sys/bus/vdpa/devices 2>/dev/null || true)
	[ -z "$left" ] || fail "left on the vdpa bus: $left"
	left=$(find /sys/class/vduse -mindepth 1 -maxdepth 1 ! -name control 2>/dev/null || true)
	[ -z "$left" ] || fail "left in VDUSE: $left"
}

sysfs() {
	cat "/sys/block/${1#/dev/}/$2"
}

# What nobody can give back: KiB of kernel memory that is not cache, after a look at each CPU's.
unreclaimable() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(SUnreclaim|VmallocUsed|KernelStack|PageTables|Percpu):/ { sum += $2 } END { print sum }' /proc/meminfo
}

# A block device has so many requests in flight: under_way NODE COUNT
under_way() {
	local reads writes
	read -r reads writes <"/sys/block/$(basename "$(readlink -f "$1")")/inflight"
	[ $((reads + writes)) -ge "$2" ]
}

# Waits for the moment when a block device has so many requests in flight, which may be a rare and
# short one, or until a command succeeds: catch_requests NODE COUNT [COMMAND]...
catch_requests() {
	local reads writes deadline=$((SECONDS + PATIENCE)) count=$2 inflight
	inflight=/sys/block/$(basename "$(readlink -f "$1")")/inflight
	shift 2
	# No sleep and no process in here.
	until read -r reads writes <"$inflight" && [ $((reads + writes)) -ge "$count" ]; do
		[ $# -eq 0 ] || ! "$@" || return 0
		[ $SECONDS -lt $deadline ] || fail "no $count requests in flight in time"
	done
}

# A block device in memory: null_disk MIB [ATTRIBUTE=VALUE]... (of null_blk). Sets DISK.
null_disk() {
	local dir=/sys/kernel/config/nullb/disk${#DEFERRED[@]} pair
	modprobe null_blk nr_devices=0
	mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
	mkdir "$dir"
	defer rmdir "$dir"
	for pair in "size=$1" memory_backed=1 "${@:2}" power=1; do
		echo "${pair#*=}" >"$dir/${pair%%=*}"
	done
	DISK=/dev/${dir##*/}
}
