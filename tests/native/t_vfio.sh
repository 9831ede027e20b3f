#!/bin/bash
# A guest with a virtual IOMMU passes its disks on with VFIO, to processes and to nested guests: QEMU's NVMe
# controller and its virtio-blk-pci, whose back end is a vhost-user disk. The recipe of vduse-blk(7).
# deadline: 600
# on request
. tests/native/lib.sh
. tests/native/guest.sh
. tests/lib/bios.sh
need_vhost_user

# The initramfs of all guests, and QEMU, libblkio and VFIO. A kernel accepts two, one after the other.
add_vfio() {
	local extra=$T/extra module block
	make_initramfs
	mkdir "$extra"
	take_program "$extra" qemu-io
	take_program "$extra" qemu-system-x86_64
	install -D -t "$extra/usr/share/qemu" /usr/share/seabios/bios-256k.bin /usr/share/qemu/kvmvapic.bin
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
	in_guest g "timeout 200 qemu-io --image-opts $1 -c 'write -P $2 1M 1M' -c 'read -P $2 1M 1M' -c 'read -P 0 2M 1M' -c flush >/tmp/io 2>&1 &&
		! grep -E 'failed|rror' /tmp/io || { cat /tmp/io; exit 1; }" >/dev/null
}

# The nested guest is the BIOS of bios.sh: nested_boots ADDRESS
nested_boots() {
	in_guest g "timeout 200 qemu-system-x86_64 -accel tcg -cpu qemu64 -machine q35 -m 32M -nodefaults -no-user-config -display none \
		-L /usr/share/qemu -serial file:/tmp/console -device isa-debug-exit,iobase=0xf4 -device vfio-pci,host=$1 >/tmp/qemu 2>&1;
		[ \$? = 1 ] && grep -q 'BIOS second boot' /tmp/console || { cat /tmp/qemu /tmp/console; exit 1; }" >/dev/null
}

nvme=$(image nvme.img 64M)
virtio=$(image virtio.img 64M)
bios_image "$nvme"
bios_image "$virtio"
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
MEMORY=1G QUICK="$QUICK intel_iommu=on" start_guest g "${OPTIONS[@]}"
ready g
in_guest g "for module in irqbypass vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do insmod /\$module.ko || exit 1; done" >/dev/null
pass_on 0000:00:10.0
pass_on 0000:00:11.0
io driver=nvme,device=0000:00:10.0,namespace=1 0x5a
io driver=virtio-blk-vfio-pci,path=/sys/bus/pci/devices/0000:00:11.0,cache.direct=on 0x61
nested_boots 0000:00:10.0
nested_boots 0000:00:11.0
end_guest g
stop_backend
filled "$nvme" 132 1M 1M || fail "what was written through VFIO and NVMe is not in the image"
filled "$virtio" 141 1M 1M || fail "what was written through VFIO and virtio is not in the image"
bios_copied "$nvme"
bios_copied "$virtio"
