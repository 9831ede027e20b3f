#!/bin/bash
# Writes to one block of the disk below an image fail. Linux reports a lost write once. Two queues write
# and flush at the same time: the flush of the program that wrote that block must fail.
# expect-dmesg: error, dev (vd|dm)|(print_req|buffer_io)_error|[Bb]uffer I/O error on dev|lost async page write|EXT4-fs warning
# once
. tests/vm/lib.sh

rounds=${ROUNDS:-2}
bad=$((1 << 20)) # offset in the image

null_disk 256
modprobe dm_mod
modprobe dm-flakey
sectors=$(blockdev --getsz "$DISK")
dmsetup create below --table "0 $sectors linear $DISK 0"
defer dmsetup remove --retry below
mkfs.ext4 -q /dev/mapper/below
mkdir "$T/fs"
mount /dev/mapper/below "$T/fs"
fill "$(image fs/disk.img 16M)" 100 16M

# Where that block lies: the extent that begins at it, in blocks of 4 KiB.
at=$(xfs_io -r -c "fiemap -v" "$T/fs/disk.img" >/dev/null 2>&1 &&
	filefrag -b4096 -e "$T/fs/disk.img" | awk -v want=$((bad / 4096)) '
	$1 ~ /^[0-9]+:$/ { gsub(/[.:]+/, " "); if ($2 <= want && want <= $3) print $4 + want - $2 }')
[ -n "$at" ] || fail "the extents of the image: $(filefrag -v -e "$T/fs/disk.img")"
first=$((at * 8))
dmsetup suspend below
dmsetup load below <<-TABLE
	0 $first linear $DISK 0
	$first 8 flakey $DISK $first 0 3600 1 error_writes
	$((first + 8)) $((sectors - first - 8)) linear $DISK $((first + 8))
TABLE
dmsetup resume below

# neighbour NODE COMMAND...: writes to the other queue, until told to stop
neighbour() {
	while [ ! -e "$T/stop" ]; do
		taskset -c 1 xfs_io -d -c "pwrite -q -b 4k -S 0101 8M 64k" "${@:2}" "$1" || true
	done >/dev/null 2>&1
}

# round CACHE ACTION...: the write of the bad block, or the flush after it, must fail
round() {
	local pid
	serve <<-C
		[lost]
		path = $T/fs/disk.img
		cache = $1
		queues = 2
	C
	rm -f "$T/stop"
	neighbour "${NODE[lost]}" "${@:2}" &
	pid=$!
	sleep 0.3
	if taskset -c 0 xfs_io -d -c "pwrite -q -b 4k -S 0102 $bad 4k" "${@:2}" "${NODE[lost]}" >"$T/io" 2>&1 &&
		! grep -q 'Input/output error' "$T/io"; then
		fail "cache = $1: a lost write was answered with success"
	fi
	touch "$T/stop"
	wait $pid
	# Nor is anything durable afterwards, on either queue.
	for cpu in 0 1; do
		taskset -c $cpu xfs_io -d -c "pwrite -q -b 4k -S 0103 4M 4k" "${@:2}" "${NODE[lost]}" >"$T/io" 2>&1 || true
		grep -q 'Input/output error' "$T/io" || fail "cache = $1: success on CPU $cpu after a loss"
	done
	said 'lost: writes may be lost'
	stop
	clean
	xfs_io -c "fsync" "$T/fs/disk.img" >/dev/null 2>&1 || true
}

for ((n = 0; n < rounds; n++)); do
	round writethrough
	round writeback -c fsync
done
