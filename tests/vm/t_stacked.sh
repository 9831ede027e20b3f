#!/bin/bash
# An image that lies on a disk of the same server. After a crash the image cannot be read before that disk is
# served again, whatever their order in the file.
# once
. tests/vm/lib.sh

unmount() {
	! mountpoint -q "$T/mnt" || umount -l "$T/mnt"
}

image lower.img 64M >/dev/null
mkdir "$T/mnt"
serve <<-C
	[lower]
	path = $T/lower.img
C
mkfs.ext4 -q "${NODE[lower]}"
mount "${NODE[lower]}" "$T/mnt"
defer unmount
image mnt/upper.img 16M >/dev/null
fill "$T/mnt/upper.img" 101 16M

# Nothing of the file system may be in memory: the next server has to read it.
crash() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null || true
}

crash
cat >"$T/conf" <<-C
	[upper]
	path = $T/mnt/upper.img
	[lower]
	path = $T/lower.img
C
start_server
filled "${NODE[upper]}" 101 16M || fail "the image on the disk is not what it was"
fill_direct "${NODE[upper]}" 102 16M

crash
start_server
filled "${NODE[upper]}" 102 16M || fail "the image on the disk has lost what was written"

# The lower disk stays until the upper one is gone and it is unmounted.
settle_udev
kill -TERM "$SERVER"
wait_for 60 "end of the upper disk" test ! -e "${NODE[upper]}"
test -e "${NODE[lower]}" || fail "a mounted disk was taken away"
filled "$T/mnt/upper.img" 102 16M || fail "the image has lost what was written"
umount "$T/mnt"
ended
clean
