#!/bin/bash
# A section is renamed while its disk waits for a server: its image is not served a second time, since
# the mounted file system still uses it. Nor is an image served that is a loop device or swap space.
# expect-dmesg: I/O error, dev vd
# once
. tests/vm/lib.sh

img=$(image disk.img 64M)

config() {
	printf '[%s]\npath = %s\n' "$1" "$img"
}

killed() {
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null || true
}

serve < <(config data)
mkfs.ext4 -q "${NODE[data]}"
mkdir "$T/mnt"
mount "${NODE[data]}" "$T/mnt"
echo before >"$T/mnt/file"
sync -f "$T/mnt"
killed

says="dataa: $img shares bytes with disk data, which a former server left in the kernel"
refused 1 "$says .*to adopt it, rename the section to \[data\]; to end its requests: vduse-blk rescue data" < <(config dataa)
[ ! -e /sys/class/vduse/dataa ] || fail "a second disk was made of the image"
ln "$img" "$T/hard.img"
refused 1 'dataa: .*hard.img shares bytes with disk data' <<-C
	[dataa]
	path = $T/hard.img
C
refused 1 "$says" < <(config dataa && echo 'readonly = yes')

# The first way out: its name.
start_server
is "what is in the file" "$(cat "$T/mnt/file")" before
timeout 20 sync -f "$T/mnt" || fail "the disk is not served"
umount "$T/mnt"

# The second one.
killed
"$VDUSE_BLK" rescue data >"$T/rescue" 2>&1 || fail "rescue: $(cat "$T/rescue")"
serve < <(config dataa)
mount "${NODE[dataa]}" "$T/mnt"
is "what is in the file" "$(cat "$T/mnt/file")" before
umount "$T/mnt"
stop
quiet
clean

# Users in the kernel take no locks.
modprobe loop
DISK=$(losetup --find --show "$img")
refused 1 "data: $img is the file of $DISK, which can write to it: losetup --detach $DISK" < <(config data)
losetup --detach "$DISK"
wait_for 10 "end of the loop device" test ! -e "/sys/block/${DISK#/dev/}/loop"
truncate -s 0 "$img"
dd if=/dev/zero of="$img" bs=1M count=64 status=none
mkswap -q "$img"
if swapon "$img" 2>"$T/swapon"; then # not on every file system
	refused 1 "data: $img is swap space of this host: swapoff" < <(config data)
	swapoff "$img"
fi
serve < <(config data)
stop
quiet
clean
