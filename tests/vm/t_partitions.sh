#!/bin/bash
# A partition table in the store is found at attach, one written later at once, and partitions are
# disks: they can be formatted and mounted, and keep the server from detaching.
# once
. tests/vm/lib.sh

holds() {
	[ "$(cat "$T/mnt/file")" = "$1" ]
}

mkdir "$T/mnt"
img=$(image disk.img 64M)
sfdisk -q "$img" <<-S
	label: gpt
	size=20MiB
	size=20MiB, name=second
S
serve <<-C
	[disk]
	path = $img
	[empty]
	path = $(image empty.img 64M)
C
disk=${NODE[disk]} empty=${NODE[empty]}
for n in 1 2; do
	wait_for 10 "partition $n" test -b "$disk$n"
	is "size of partition $n" "$(blockdev --getsize64 "$disk$n")" 20971520
done
[ ! -e "$disk"3 ] || fail "a third partition"

mkfs.ext4 -q "$disk"2
mount "$disk"2 "$T/mnt"
echo kept >"$T/mnt/file"
umount "$T/mnt"

sfdisk -q "$empty" <<<'label: dos
size=30MiB, type=83'
# udev, too, has the kernel read the table once sfdisk is through: for a moment nothing is there.
settle_udev
wait_for 10 "new partition" test -b "$empty"1
mkfs.ext4 -q "$empty"1
stop
quiet
clean
[ ! -e "$disk"1 ] || fail "$disk""1 is left"

# The store is a disk with partitions, as any kernel sees it.
is "partition table" "$(sfdisk -d "$img" | grep -c ' size= *40960')" 2

cp "$T/conf" "$T/again"
serve <"$T/again"
wait_for 10 "partition 2" test -b "${NODE[disk]}2"
mount "${NODE[disk]}2" "$T/mnt"
holds kept || fail "the file differs"

# Partitions count as use: the first signal does not take the disk away.
kill -TERM "$SERVER"
wait_for 10 "complaint" grep -q "is in use: mounted on $T/mnt" "$T/err"
echo more >"$T/mnt/file"
sync -f "$T/mnt/file"
umount "$T/mnt"
wait_for 60 "end of the server" server_ended
wait "$SERVER" || fail "status $?"
SERVER=
quiet 'is in use: mounted on'
clean

# A partition is a store as well.
loop_disk "$img" --partscan
wait_for 10 "partition of the loop device" test -b "${DISK}p2"
serve <<-C
	[part]
	path = ${DISK}p2
C
is "size of a partition" "$(blockdev --getsize64 "${NODE[part]}")" 20971520
mount "${NODE[part]}" "$T/mnt"
holds more || fail "the file differs"
umount "$T/mnt"
stop
quiet
clean
