#!/bin/bash
# A virtual machine on vhost-vdpa makes a file system, reboots with writes in flight, finds its files.
# Emulated twice it takes ten minutes: t_vhost_bios is the short form.
# deadline: 3600
# on request
. tests/vm/lib.sh

kernel=/boot/vmlinuz-$(uname -r)
[ -e "$kernel" ] || kernel=/lib/modules/$(uname -r)/vmlinuz

# A program and the libraries that it needs, at the same places below $T/root.
take_program() {
	ldd "$1" | grep -o '/[^ ]*' | cat - <(echo "$1") |
		xargs -I'{}' install -D '{}' "$T/root/{}"
}

make_initramfs() {
	local module
	mkdir -p "$T/root/bin"
	cp "$(command -v busybox)" "$T/root/bin/"
	cp tests/vm/guest_init "$T/root/init"
	chmod +x "$T/root/init"
	take_program "$(command -v mkfs.ext4)"
	install -D /etc/mke2fs.conf "$T/root/etc/mke2fs.conf"
	module=$(modinfo -n virtio_blk)
	case $module in
	*.xz) busybox xzcat "$module" >"$T/root/virtio_blk.ko" ;;
	*) cp "$module" "$T/root/virtio_blk.ko" ;;
	esac
	(cd "$T/root" && find . | cpio --quiet -o -H newc) >"$T/initramfs"
	rm -rf "$T/root"
}

guest_said() {
	grep -qE "GUEST $1" "$T/console" 2>/dev/null
}

# until_guest SECONDS COMMAND...: but not longer than the guest is well.
until_guest() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		if guest_said failed || process_ended $GUEST || [ $SECONDS -ge $deadline ]; then
			fail "the guest: $* not in time: $(tail -n 20 "$T/console" "$T/qemu")"
		fi
		sleep 0.5
	done
}

img=$(image disk.img 256M)
make_initramfs
serve <<-C
	[disk]
	path = $img
	driver = vhost-vdpa
	serial = of-a-guest
C

start=$SECONDS
# Emulated twice, a guest is slow: what it need not do at boot is left out.
quick="tsc=reliable no_timer_check mitigations=off nokaslr cryptomgr.notests audit=0 lsm=capability"
qemu-system-x86_64 -accel tcg -cpu qemu64 -machine q35,memory-backend=m -m 256M \
	-object memory-backend-memfd,id=m,size=256M,share=on \
	-nodefaults -no-user-config -display none -serial "file:$T/console" \
	-kernel "$kernel" -initrd "$T/initramfs" -append "console=ttyS0 quiet panic=-1 $quick" \
	-device "vhost-vdpa-device-pci,vhostdev=${NODE[disk]}" >"$T/qemu" 2>&1 &
GUEST=$!
defer reap $GUEST
until_guest 1500 guest_said 'disk 524288 sectors, serial of-a-guest, '
say "first boot after $((SECONDS - start)) s"
until_guest 600 guest_said 'wrote 40 files'
until_guest 600 guest_said rebooting
say "reboot after $((SECONDS - start)) s"
until_guest 1500 guest_said 'checked the files'
say "second boot after $((SECONDS - start)) s"
wait_for 30 "end of the guest" process_ended $GUEST
wait $GUEST || fail "QEMU ended with status $?: $(cat "$T/qemu")"
is "number of boots" "$(grep -c 'GUEST disk' "$T/console")" 2
stop
quiet
clean

e2fsck -fn "$img" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
is "the diary" "$(debugfs -R 'cat diary' "$img" 2>/dev/null)" $'first boot\nsecond boot'
debugfs -R "rdump files $T" "$img" 2>"$T/debugfs" || fail "debugfs: $(cat "$T/debugfs")"
debugfs -R "dump sums $T/sums" "$img" 2>/dev/null
is "number of files" "$(wc -l <"$T/sums")" 40
(cd "$T" && sha256sum --quiet -c sums) || fail "files differ outside of the guest"
