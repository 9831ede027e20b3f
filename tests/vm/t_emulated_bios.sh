#!/bin/bash
# A virtual machine without a virtio driver boots from QEMU's NVMe and AHCI disks, whose back end is the
# disk of this host.
. tests/vm/lib.sh
. tests/lib/bios.sh

img=$(image disk.img 1M)
for device in nvme,drive=d,serial=disk ide-hd,drive=d,bus=ide.0; do
	bios_image "$img"
	serve <<-C
		[disk]
		path = $img
	C
	settle_udev
	bios_boots -blockdev driver=host_device,filename=/dev/disk/by-id/virtio-disk,node-name=d,cache.direct=on \
		-device $device
	stop
	quiet
	bios_copied "$img"
done
clean
