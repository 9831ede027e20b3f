# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A virtual machine without an operating system, sourced after server.sh: the BIOS's own driver reads
# and writes the disk, told by boot_sector.S.

# bios_image IMAGE: puts the boot sector on it, and what it is to copy
bios_image() {
	as --32 -o "$T/boot.o" tests/lib/boot_sector.S
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$T/boot" "$T/boot.o"
	{
		cat "$T/boot"
		printf '%-512s' 1
		head -c $((16 * 512)) /dev/urandom
	} | dd of="$1" bs=512 conv=notrunc status=none
}

# bios_boots QEMU-OPTION...: until the machine has reset itself, booted again and ended
bios_boots() {
	local guest status=0
	qemu-system-x86_64 -accel tcg -cpu qemu64 -machine q35,memory-backend=m -m 32M \
		-object memory-backend-memfd,id=m,size=32M,share=on \
		-nodefaults -no-user-config -display none -serial "file:$T/console" \
		-device isa-debug-exit,iobase=0xf4 "$@" >"$T/qemu" 2>&1 &
	guest=$!
	defer reap $guest
	wait_for 200 "end of the virtual machine" process_ended $guest
	wait $guest || status=$?
	is "status of QEMU ($(cat "$T/qemu" "$T/console"))" $status 1 # isa-debug-exit: twice the number, and one
	is "what the boot sector said" "$(tr -d '\r' <"$T/console")" $'BIOS first boot\nBIOS second boot'
}

# bios_copied IMAGE: what the boot sector has written
bios_copied() {
	local sector
	for sector in 64 128; do
		cmp -n $((16 * 512)) "$1" "$1" $((2 * 512)) $((sector * 512)) ||
			fail "sectors 2 to 17 were not copied to sector $sector"
	done
}
