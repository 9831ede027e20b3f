#!/bin/bash
# A guest with a virtual IOMMU passes its disks on to processes, with VFIO: QEMU's NVMe controller and its
# virtio-blk-pci, whose back end is a vhost-user disk. The recipe of vduse-blk(7).
# deadline: 600
# on request
. tests/native/lib.sh
. tests/native/guest.sh
need_vhost_user

# The initramfs of all guests, and qemu-io with libblkio, and VFIO. A kernel accepts two, one after the other.
add_vfio() {
	local extra=$T/extra module block
	make_initramfs
	mkdir "$extra"
	take_program "$extra" qemu-io
	block=$(find /usr/lib -name block-blkio.so)
	ldd "$block" | grep -o '/[^ ]*' | cat - <(echo "$block") | xargs -I'{}' install -D '{}' "$extra/{}"
	for module in irqbypass vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do
		take_module "$extra" $module
	done
	cat "$INITRAMFS" - < <(cd "$extra" && find . | cpio --quiet -o -H newc) >"$T/initramfs"
	INITRAMFS=$T/initramfs
}

back_end() { # ID
	OPTIONS+=(-blockdev "driver=virtio-blk-vhost-user,path=$T/$1.socket,node-name=$1,cache.direct=on")
}

# pass_on ADDRESS: to the driver vfio-pci
pass_on() {
	in_guest g "D=/sys/bus/pci/devices/$1; echo \${D##*/} >\$D/driver/unbind &&
		echo vfio-pci >\$D/driver_override && echo \${D##*/} >/sys/bus/pci/drivers_probe" >/dev/null
}

io() { # IMAGE-OPTIONS BYTE
	in_guest g "timeout 200 qemu-io --image-opts $1 -c 'write -P $2 64k 1M' -c 'read -P $2 64k 1M' -c 'read -P 0 2M 1M' -c flush >/tmp/io 2>&1 &&
		! grep -E 'failed|rror' /tmp/io || { cat /tmp/io; exit 1; }" >/dev/null
}

nvme=$(image nvme.img 64M)
virtio=$(image virtio.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section nvme "$nvme" "$T/nvme.socket"
	disk_section virtio "$virtio" "$T/virtio.socket"
)
add_vfio
OPTIONS=(-machine "q35,kernel-irqchip=split" -device "intel-iommu,intremap=on")
back_end nvme
OPTIONS+=(-device "nvme,drive=nvme,serial=NAME,addr=10")
back_end virtio
OPTIONS+=(-device "virtio-blk-pci,drive=virtio,iommu_platform=on,disable-legacy=on,addr=11")
QUICK="$QUICK intel_iommu=on" start_guest g "${OPTIONS[@]}"
ready g
in_guest g "for module in irqbypass vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do insmod /\$module.ko || exit 1; done" >/dev/null
pass_on 0000:00:10.0
pass_on 0000:00:11.0
io driver=nvme,device=0000:00:10.0,namespace=1 0x5a
io driver=virtio-blk-vfio-pci,path=/sys/bus/pci/devices/0000:00:11.0,cache.direct=on 0x61
end_guest g
stop_backend
filled "$nvme" 132 1M 64K || fail "what was written through VFIO and NVMe is not in the image"
filled "$virtio" 141 1M 64K || fail "what was written through VFIO and virtio is not in the image"
