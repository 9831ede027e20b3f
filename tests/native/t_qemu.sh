#!/bin/bash
# QEMU guests with vhost-user-blk-pci: a file system, verified I/O in each cache mode, discard, write
# zeroes, a read-only disk, reboot, hot plug and unplug.
# deadline: 1200
. tests/native/lib.sh
. tests/native/guest.sh
need_vhost_user

# What a guest sees of a disk.
guest_disk() {
	in_guest g "cat /sys/block/$1/size; ls /sys/block/$1/mq | wc -l; cat /sys/block/$1/ro"
}

write_files() {
	in_guest g "mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt && mkdir /mnt/files &&
		for n in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/mnt/files/\$n bs=\$((n * n * 1000)) count=9 2>/dev/null; done &&
		(cd /mnt && sha256sum files/* >sums) && sync" >/dev/null
}

check_files() {
	in_guest g "echo 3 >/proc/sys/vm/drop_caches; cd /mnt && sha256sum -s -c sums" >/dev/null
}

img=$(image disk.img 256M)
for queues in 1 4; do
	start_backend "$img" "$T/socket" queues=$queues
	disk_options disk "$T/socket" $queues
	SMP=$queues start_guest g "${DISK[@]}"
	ready g
	is "size, queues and ro" "$(guest_disk vda | tr '\n' ' ')" "524288 $queues 0 "
	write_files
	check_files
	fio_in g --name=file --filename=/mnt/fio --allow_file_create=1 --bsrange=4k-64k --size=8m --numjobs=2 --offset_increment=8m
	in_guest g "rm /mnt/fio && sync && fstrim /mnt" >/dev/null

	# A reboot under writes: what was synced is there, and the disk works.
	in_guest g "dd if=/dev/zero of=/mnt/unfinished bs=64k oflag=direct >/dev/null 2>&1 &" >/dev/null
	say_to g shell "sleep 0.5; reboot -f"
	ready g
	in_guest g "mount -t ext4 /dev/vda /mnt" >/dev/null
	check_files
	in_guest g "umount /mnt && e2fsck -fn /dev/vda" >/dev/null

	# The disk raw.
	fio_in g --name=raw --filename=/dev/vda --bsrange=4k-64k --size=8m --numjobs=$queues --offset_increment=16m
	in_guest g "dd if=/dev/urandom of=/dev/vda bs=1M count=32 oflag=direct 2>/dev/null" >/dev/null
	before=$(occupied "$img")
	in_guest g "/usr/sbin/blkdiscard -o 0 -l 16M /dev/vda" >/dev/null
	[ "$(occupied "$img")" -lt $((before - 8192)) ] || fail "discard: $before KiB before, $(occupied "$img") now"
	in_guest g "/usr/sbin/blkdiscard -z -o 16M -l 8M /dev/vda && sync" >/dev/null
	filled "$img" 0 8M 16M || fail "write zeroes did not"
	! filled "$img" 0 8M 24M || fail "what was not to be zeroed is"
	end_guest g
	stop_backend
	rm -f "$T/socket"
done

# Read-only.
before=$(checksum "$img")
start_backend "$img" "$T/socket" readonly=yes
disk_options disk "$T/socket" 1
start_guest g "${DISK[@]}"
ready g
is "ro" "$(guest_disk vda | tail -n 1)" 1
try_in g "dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct" >/dev/null && fail "a write to a read-only disk"
in_guest g "dd if=/dev/vda of=/dev/null bs=1M count=64 iflag=direct" >/dev/null
end_guest g
stop_backend
is "the read-only image" "$(checksum "$img")" "$before"
rm -f "$T/socket"

# Hot plug and unplug, again and again, by QMP.
start_backend "$img" "$T/socket" queues=2
start_guest g
ready g
for ((n = 0; n < 3; n++)); do
	tell_qmp g chardev-add '{"id": "chr", "backend": {"type": "socket", "data": {"addr": {"type": "unix",
		"data": {"path": "'"$T/socket"'"}}, "server": false}}}' >/dev/null
	tell_qmp g device_add '{"driver": "vhost-user-blk-pci", "id": "plugged", "chardev": "chr", "num-queues": 2, "bus": "port1"}' >/dev/null
	in_guest g "n=0; until [ -b /dev/vda ]; do n=\$((n + 1)); [ \$n -lt 600 ] || exit 1; sleep 0.1; done" >/dev/null
	fio_in g --name=raw --filename=/dev/vda --bsrange=4k-64k --size=2m
	tell_qmp g device_del '{"id": "plugged"}' >/dev/null
	await_event g 'DEVICE_DELETED.*"device": "plugged"' 
	in_guest g "[ ! -b /dev/vda ]" >/dev/null
	tell_qmp g chardev-remove '{"id": "chr"}' >/dev/null
done
end_guest g
stop_backend
