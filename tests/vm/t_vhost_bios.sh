#!/bin/bash
# A virtual machine boots from a disk on vhost-vdpa, resets itself and boots again: the BIOS's own
# virtio driver reads and writes. t_vhost_guest has Linux as the guest, which takes ten minutes here.
. tests/vm/lib.sh

img=$(image disk.img 1M)
as --32 -o "$T/boot.o" tests/vm/boot_sector.S
ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$T/boot" "$T/boot.o"
{
	cat "$T/boot"
	printf '%-512s' 1
	head -c $((16 * 512)) /dev/urandom
} | dd of="$img" bs=512 conv=notrunc status=none
serve <<-C
	[disk]
	path = $img
	driver = vhost-vdpa
C
qemu-system-x86_64 -accel tcg -cpu qemu64 -machine q35,memory-backend=m -m 32M \
	-object memory-backend-memfd,id=m,size=32M,share=on \
	-nodefaults -no-user-config -display none -serial "file:$T/console" \
	-device isa-debug-exit,iobase=0xf4 \
	-device "vhost-vdpa-device-pci,vhostdev=${NODE[disk]}" >"$T/qemu" 2>&1 &
GUEST=$!
defer reap $GUEST
wait_for 200 "end of the virtual machine" process_ended $GUEST
status=0
wait $GUEST || status=$?
is "status of QEMU ($(cat "$T/qemu" "$T/console"))" $status 1 # isa-debug-exit: twice the number, and one
is "what the boot sector said" "$(tr -d '\r' <"$T/console")" $'BIOS first boot\nBIOS second boot'
stop
quiet
clean
for sector in 64 128; do
	cmp -n $((16 * 512)) "$img" "$img" $((2 * 512)) $((sector * 512)) ||
		fail "sectors 2 to 17 were not copied to sector $sector"
done
