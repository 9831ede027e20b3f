#!/bin/bash
# QEMU's NVMe and AHCI disks, whose back end is a vhost-user disk: the BIOS boots from them, and a Linux
# guest does verified I/O on both.
# deadline: 600
. tests/native/lib.sh
. tests/native/guest.sh
. tests/lib/bios.sh
need_vhost_user

# Sets EMULATED to QEMU's options: emulated ID SOCKET DEVICE
emulated() {
	EMULATED=(-blockdev "driver=virtio-blk-vhost-user,path=$2,node-name=$1,cache.direct=on"
		-device "$3,drive=$1")
}

for device in nvme,serial=disk ide-hd,bus=ide.0; do
	img=$(image bios.img 1M)
	bios_image "$img"
	start_backend "$img" "$T/socket"
	emulated d "$T/socket" "$device"
	bios_boots "${EMULATED[@]}"
	stop_backend
	bios_copied "$img"
done

nvme=$(image nvme.img 64M)
ahci=$(image ahci.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section nvme "$nvme" "$T/nvme.socket"
	disk_section ahci "$ahci" "$T/ahci.socket"
)
emulated n "$T/nvme.socket" nvme,serial=nvme
options=("${EMULATED[@]}")
emulated a "$T/ahci.socket" ide-hd,bus=ide.0
start_guest g "${options[@]}" "${EMULATED[@]}"
ready g
in_guest g "for module in scsi_common scsi_mod libata libahci ahci sd_mod; do insmod /\$module.ko || exit 1; done;
	n=0; until [ -b /dev/sda ]; do n=\$((n + 1)); [ \$n -lt 600 ] || exit 1; sleep 0.1; done" >/dev/null
for disk in nvme0n1 sda; do
	is "size of $disk" "$(in_guest g "cat /sys/block/$disk/size")" $((64 * 2048))
	fio_in g --name=raw --filename=/dev/$disk --bsrange=4k-64k --size=8m
	in_guest g "mkfs.ext4 -q /dev/$disk && e2fsck -fn /dev/$disk && blockdev --flushbufs /dev/$disk" >/dev/null
done
end_guest g
stop_backend
for img in "$nvme" "$ahci"; do
	e2fsck -fn "$img" >"$T/fsck" 2>&1 || fail "e2fsck of $img: $(cat "$T/fsck")"
done
