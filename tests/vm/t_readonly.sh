#!/bin/bash
# A read-only disk can be read and mounted and not written, its image stays as it was, and several
# may share one image.
# once
. tests/vm/lib.sh

img=$(image disk.img 32M)
mkfs.ext4 -q "$img"
mkdir "$T/mnt"
modprobe loop
mount -o loop "$img" "$T/mnt"
cp -a /etc "$T/mnt/"
umount "$T/mnt"
before=$(checksum "$img")

# Not even the server may write: the image is read-only for it too.
null_disk 4
fill "$DISK" 132 4M
blockdev --setro "$DISK"

serve <<-C
	[first]
	path = $img
	readonly = yes
	[second]
	path = $img
	readonly = yes
	cache = writeback
	[disk]
	path = $DISK
	readonly = yes
C
for name in first second disk; do
	node=${NODE[$name]}
	is "blockdev --getro of $name" "$(blockdev --getro "$node")" 1
	is "ro of $name" "$(sysfs "$node" ro)" 1
	is "discard_max_bytes of $name" "$(sysfs "$node" queue/discard_max_bytes)" 0
	is "write_zeroes_max_bytes of $name" "$(sysfs "$node" queue/write_zeroes_max_bytes)" 0
	if dd if=/dev/zero of="$node" bs=4k count=1 oflag=direct status=none 2>"$T/dd"; then
		fail "$name was written"
	fi
	if blkdiscard "$node" 2>/dev/null || blkdiscard -z "$node" 2>/dev/null; then
		fail "$name was discarded or zeroed"
	fi
done

mount -o ro "${NODE[first]}" "$T/mnt"
diff -r --no-dereference /etc "$T/mnt/etc" >"$T/diff" || fail "files differ: $(cat "$T/diff")"
umount "$T/mnt"
is "the second disk" "$(checksum "${NODE[second]}")" "$before"
filled "${NODE[disk]}" 132 4M || fail "the block device reads differently"

set_aside
serve <<-C
	[other]
	path = $img
	readonly = yes
C
is "the disk of another server" "$(checksum "${NODE[other]}")" "$before"
refused 1 "in use by another process" <<-C
	[writer]
	path = $img
C
stop
quiet
take_back
stop
quiet
clean

is "the image" "$(checksum "$img")" "$before"
filled "$DISK" 132 4M || fail "the block device has changed"

# The other way round: what is written by one is not served to readers.
serve <<-C
	[writer]
	path = $img
C
refused 1 "in use by another process" <<-C
	[reader]
	path = $img
	readonly = yes
C
stop
quiet
clean
