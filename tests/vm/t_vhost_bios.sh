#!/bin/bash
# A virtual machine boots from a disk on vhost-vdpa, resets itself and boots again: the BIOS's own
# virtio driver reads and writes. t_vhost_guest has Linux as the guest, which takes ten minutes here.
. tests/vm/lib.sh
. tests/lib/bios.sh

img=$(image disk.img 1M)
bios_image "$img"
serve <<-C
	[disk]
	path = $img
	driver = vhost-vdpa
C
bios_boots -device "vhost-vdpa-device-pci,vhostdev=${NODE[disk]}"
stop
quiet
clean
bios_copied "$img"
