#!/bin/bash
# The store of one disk stalls when the server is told to end: a flush of that disk waits, and the other
# disks are detached meanwhile, also when a second signal takes disks away by force.
# once
. tests/vm/lib.sh

resume() {
	dmsetup resume stalls
}

modprobe dm_mod
null_disk 16 cache_size=16 # so that a flush reaches the store
dmsetup create stalls --table "0 32768 linear $DISK 0"
defer dmsetup remove --retry stalls
defer resume
image other.img 16M >/dev/null
image mounted.img 64M >/dev/null
mkdir "$T/mnt"
unmount() {
	! mountpoint -q "$T/mnt" || umount -l "$T/mnt"
}
defer unmount

# The last disk of the file is the first to go.
serve <<-C
	[mounted]
	path = $T/mounted.img
	[other]
	path = $T/other.img
	[stalls]
	path = /dev/mapper/stalls
C
mkfs.ext4 -q "${NODE[mounted]}"
mount "${NODE[mounted]}" "$T/mnt"
fill_direct "${NODE[stalls]}" 101 1M
settle_udev
dmsetup suspend --nolockfs --noflush stalls

kill -TERM "$SERVER"
wait_for 60 "end of the other disk" test ! -e "${NODE[other]}"
wait_for 60 "report of the mounted disk" grep -q 'mounted: .* is in use: mounted on' "$T/err"
umount "$T/mnt"
wait_for 60 "end of the mounted disk" test ! -e "${NODE[mounted]}"
kill -0 "$SERVER" || fail "the server has ended before the disk that stalls"
resume
ended
filled "$DISK" 101 1M || fail "the disk that stalled has not what was written"
clean
