#!/bin/bash
# libvirt and the guest of conf/libvirt-guest.xml, with QEMU's own user: verified I/O, kill -9 of the
# server, resize, unplug and plug, reset, save and restore.
# deadline: 900

# libvirt writes to the root and to control groups, and its QEMU belongs to no session.
[ "${OWN_NAMESPACES-}" ] ||
	exec env OWN_NAMESPACES=1 unshare --mount --pid --fork --kill-child --mount-proc bash "$0"
. tests/native/lib.sh
. tests/native/guest.sh
need_vhost_user

virsh() {
	timeout "$GUEST_PATIENCE" virsh -q -c qemu:///system "$@" >"$T/virsh" 2>&1 ||
		fail "virsh $*: status $?: $(tail -n 5 "$T/virsh" "$T/libvirtd" /var/log/libvirt/qemu/guest2.log)"
}

start_libvirt() {
	local directory daemon
	! mountpoint -q /sys/fs/cgroup || umount --recursive --lazy /sys/fs/cgroup
	for directory in /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
		mount -t tmpfs -o mode=755 libvirt "$directory"
	done
	for daemon in virtlogd libvirtd; do
		$daemon >"$T/$daemon" 2>&1 &
		defer reap $!
		disown $!
	done
	wait_for "$PATIENCE" "socket of libvirtd" test -S /run/libvirt/libvirt-sock
}

# The domain of conf/, with what a guest of these tests needs: emulation, its kernel, its pipes.
define_guest() {
	local at=$T/guest-g
	make_initramfs
	make_pipe "$at.shell"
	chown libvirt-qemu "$at.shell".*
	sed -e "s|type='kvm'|type='qemu'|" \
		-e "s|</os>|<kernel>$(ls /boot/vmlinuz-*)</kernel><initrd>$INITRAMFS</initrd><cmdline>console=ttyS0 panic=-1 quiet $QUICK</cmdline></os>|" \
		-e "s|<console type='pty'/>|<serial type='file'><source path='$at.console'/></serial>|" \
		-e "s|</devices>|<channel type='pipe'><source path='$at.shell'/><target type='virtio' name='shell'/></channel></devices>|" \
		conf/libvirt-guest.xml >"$T/guest.xml"
	sed -n '/<disk/,/<\/disk>/p' conf/libvirt-guest.xml >"$T/disk.xml"
	virsh define "$T/guest.xml"
}

guest_runs() {
	GUEST[g]=$(cat /run/libvirt/qemu/guest2.pid)
	: >"$T/guest-g.log"
}

# until_in GUEST CONDITION
until_in() {
	in_guest "$1" "n=0; until $2; do n=\$((n + 1)); [ \$n -lt 600 ] || exit 1; sleep 0.1; done" >/dev/null
}

check_files() {
	in_guest g "echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 /dev/vda /mnt && cd /mnt && sha256sum -s -c sums && cd / && umount /mnt" >/dev/null
}

chmod 711 "$T" # for QEMU's user
start_libvirt
define_guest
img=$(image disk.img 256M)
mkdir -p /run/vm-disks
serve <<-C
	[global]
	runtime_dir = $T/run
	[guest2]
	path   = $img
	driver = vhost-user
	socket = /run/vm-disks/guest2.sock
	socket_group = kvm
C
virsh start guest2
guest_runs
ready g
is "size and queues" "$(in_guest g "cat /sys/block/vda/size; ls /sys/block/vda/mq | wc -l" | tr '\n' ' ')" "524288 2 "
is "user of QEMU" "$(stat -c %U "/proc/${GUEST[g]}")" libvirt-qemu
in_guest g "mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt &&
	dd if=/dev/urandom of=/mnt/file bs=1M count=16 2>/dev/null && cd /mnt && sha256sum file >sums && cd / && umount /mnt" >/dev/null

in_guest g "($FIO --name=raw --filename=/dev/vda --offset=192m --bsrange=4k-64k --size=8m --loops=20 >/tmp/raw.log 2>&1; echo \$? >/tmp/raw.ended) &" >/dev/null
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
start_server
truncate -s 320M "$img"
timeout "$PATIENCE" "$VDUSE_BLK" resize guest2 -c "$T/conf" >"$T/resize" 2>&1 || fail "resize: $(cat "$T/resize")"
until_in g "[ -s /tmp/raw.ended ]"
in_guest g "[ \$(cat /tmp/raw.ended) = 0 ] || { cat /tmp/raw.log; exit 1; }" >/dev/null
until_in g "[ \$(cat /sys/block/vda/size) = $((320 * 2048)) ]"
check_files

virsh detach-disk guest2 vda
until_in g "[ ! -b /dev/vda ]"
virsh attach-device guest2 "$T/disk.xml"
until_in g "[ -b /dev/vda ]"
check_files

virsh reset guest2
ready g
check_files

# A migration to a file, and from it.
in_guest g "mount -t ext4 /dev/vda /mnt && echo saved >/mnt/more && sync" >/dev/null
virsh save guest2 "$T/saved"
virsh restore "$T/saved"
guest_runs
is "a file written before the save" "$(in_guest g "echo 3 >/proc/sys/vm/drop_caches; cat /mnt/more; umount /mnt")" saved
check_files
virsh destroy guest2
stop
quiet
