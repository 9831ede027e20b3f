#!/bin/bash
# Discards and zeroes: what the driver sees of the limits, and several ranges in one request all count.
# tests/native/t_discard_native.sh has more kinds of stores.
# once
. tests/vm/lib.sh

mib=1048576

queue() {
	sysfs "${NODE[$1]}" "queue/$2"
}

# A file: what was discarded and zeroed is a hole, and only that.
file() {
	local img=$1 node
	fill "$img" 125 $((16 * mib))
	serve <<-C
		[file]
		path = $img
		$2
	C
	node=${NODE[file]}
	is "ranges in a discard" "$(queue file max_discard_segments)" 256
	blkdiscard --offset $((2 * mib)) --length $((3 * mib)) "$node"
	is "space after a discard" "$(occupied "$img")" $((13 * 1024))
	blkdiscard -z --offset $((8 * mib)) --length $((2 * mib)) "$node"
	is "space after zeroing" "$(occupied "$img")" $((11 * 1024))
	# Not a whole block of the file: its neighbours stay.
	blkdiscard -z --offset $((12 * mib + 512)) --length 1024 "$node"
	blkdiscard --offset $((13 * mib + 512)) --length 8192 "$node"
	filled "$node" 0 $((2 * mib)) $((8 * mib)) || fail "what was zeroed is not zero"
	stop
	quiet
	clean
	filled "$img" 125 $((2 * mib)) || fail "before the discard"
	filled "$img" 0 $((3 * mib)) $((2 * mib)) || fail "in the discard"
	filled "$img" 125 $((3 * mib)) $((5 * mib)) || fail "behind the discard"
	filled "$img" 0 $((2 * mib)) $((8 * mib)) || fail "in the zeroes"
	filled "$img" 125 $((2 * mib + 512)) $((10 * mib)) || fail "behind the zeroes"
	filled "$img" 0 1024 $((12 * mib + 512)) || fail "in two zeroed sectors"
	filled "$img" 125 $((mib - 1024)) $((12 * mib + 1536)) || fail "behind two zeroed sectors"
	filled "$img" 125 $((3 * mib - 8704)) $((13 * mib + 8704)) || fail "behind the unaligned discard"
	is "size of the image" "$(stat -c %s "$img")" $((16 * mib))
}

# discard = no, write_zeroes = no: the driver is offered nothing, and writes zeroes itself.
kept() {
	local node
	serve <<-C
		[kept]
		path = $1
		discard = no
		write_zeroes = no
	C
	node=${NODE[kept]}
	is "discard_max_bytes" "$(queue kept discard_max_bytes)" 0
	is "write_zeroes_max_bytes" "$(queue kept write_zeroes_max_bytes)" 0
	if blkdiscard "$node" 2>/dev/null; then
		fail "a discard that was not offered"
	fi
	fill "$node" 125 $((4 * mib))
	blkdiscard -z --offset $mib --length $mib "$node"
	filled "$node" 0 $mib $mib || fail "what the driver wrote is not zero"
	stop
	quiet
	clean
}

# A block device; prints nothing of what a discard leaves there, which is the device's affair.
disk() {
	local node
	fill "$DISK" 125 $((16 * mib))
	serve <<-C
		[disk]
		path = $DISK
		discard = yes
	C
	node=${NODE[disk]}
	blkdiscard --offset $((2 * mib)) --length $((3 * mib)) "$node"
	filled "$node" 0 $((3 * mib)) $((2 * mib)) || fail "$DISK was not discarded"
	blkdiscard -z --offset $((8 * mib)) --length $((2 * mib)) "$node"
	filled "$node" 0 $((2 * mib)) $((8 * mib)) || fail "$DISK was not zeroed"
	filled "$node" 125 $((2 * mib)) || fail "before the discard of $DISK"
	filled "$node" 125 $((3 * mib)) $((5 * mib)) || fail "behind the discard of $DISK"
	filled "$node" 125 $((6 * mib)) $((10 * mib)) || fail "behind the zeroes of $DISK"
	stop
	quiet
	clean
	filled "$DISK" 0 $((2 * mib)) $((8 * mib)) || fail "$DISK is not zero"
}

mkdir "$T/mnt"
file "$(image tmpfs.img 16M)" 'cache = auto'
kept "$(image tmpfs.img 16M)"

null_disk 16 discard=1
disk

# Files with a gap between any two once every second is gone.
files() {
	head -c 12M /dev/zero | tr '\0' '\125' | split -a 3 -d -b 64K - "$T/mnt/file"
	sync -f "$T/mnt"
	full=$(occupied "$img")
	rm "$T"/mnt/file*[02468]
	sync -f "$T/mnt"
}

# All but what the file system itself has written since: 96 files of 64 KiB are gone.
gone() {
	local now
	now=$(occupied "$img")
	[ $((full - now)) -ge $((80 * 64)) ] || fail "$full KiB before, $now after"
}

intact() {
	cat "$T"/mnt/file* >"$T/files"
	filled "$T/files" 125 6M || fail "files differ"
	umount "$T/mnt"
	stop
	quiet
	clean
}

# XFS gives back many extents at a time, which the driver packs into requests of many ranges.
img=$(image xfs.img 320M)
serve <<-C
	[fs]
	path = $img
	queues = 1
C
mkfs.xfs -q -K "${NODE[fs]}"
mount -o discard "${NODE[fs]}" "$T/mnt"
files
umount "$T/mnt"
read -ra stat <"/sys/block/${NODE[fs]#/dev/}/stat"
say "${stat[11]} discards, which took in ${stat[12]} others"
[ "${stat[12]}" -gt 10 ] ||
	fail "${stat[11]} discards, only ${stat[12]} merged: nothing of several ranges was tested"
gone
mount -o ro "${NODE[fs]}" "$T/mnt"
intact
xfs_repair -n -f "$img" >"$T/repair" 2>&1 || fail "xfs_repair: $(cat "$T/repair")"
