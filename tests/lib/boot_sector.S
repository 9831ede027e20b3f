/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot sector of bios.sh: the client of the disk is the BIOS of a virtual machine, int
 * 0x13 with AH = 0x42 (extended read) and 0x43 (extended write).
 *
 * First boot: copies sectors 2 to 17 to sector 64, overwrites sector 1 and resets the machine. Second
 * boot, which sector 1 tells: copies sectors 64 to 79 to sector 128. It reports on the first serial
 * port, and ends the machine through QEMU's isa-debug-exit.
 */
	.code16
	.globl _start
_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	sti
	cld
	mov	%dl, drive

	mov	$0x42, %ah		/* which boot is it? */
	mov	$1, %ecx
	mov	$1, %bx
	call	transfer
	cmpb	$'1', buffer
	jne	second_boot

	mov	$2, %ecx
	mov	$64, %edx
	call	copy
	movb	$'2', buffer
	mov	$0x43, %ah
	mov	$1, %ecx
	mov	$1, %bx
	call	transfer
	mov	$first, %si
	call	print
	mov	$0xfe, %al		/* the keyboard controller resets the machine */
	out	%al, $0x64
	jmp	halt

second_boot:
	mov	$64, %ecx
	mov	$128, %edx
	call	copy
	mov	$second, %si
	call	print
	jmp	end

/* Copies 16 sectors from sector %ecx to sector %edx. */
copy:
	push	%edx
	mov	$0x42, %ah
	mov	$16, %bx
	call	transfer
	pop	%ecx
	mov	$0x43, %ah
	mov	$16, %bx
	/* falls through */

/* %ah: read or write; %bx sectors from sector %ecx, to or from buffer. */
transfer:
	mov	%bx, packet_count
	mov	%ecx, packet_sector
	mov	$packet, %si
	mov	drive, %dl
	xor	%al, %al
	int	$0x13
	jc	failed
	ret

failed:
	mov	$error, %si
	call	print
end:
	mov	$0, %al
	out	%al, $0xf4
halt:
	hlt
	jmp	halt

print:
	mov	$0x3fd, %dx
	in	%dx, %al
	test	$0x20, %al
	jz	print
	mov	$0x3f8, %dx
	lodsb
	test	%al, %al
	jz	printed
	out	%al, %dx
	jmp	print
printed:
	ret

drive:	.byte 0
first:	.asciz "BIOS first boot\n"
second:	.asciz "BIOS second boot\n"
error:	.asciz "BIOS failed\n"

	.balign 4
packet:	.byte 16, 0
packet_count:
	.word 0
	.word buffer, 0
packet_sector:
	.long 0, 0

	.org 510
	.word 0xaa55
	.set buffer, 0x8000
