# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Stores of the test itself: loop devices and file systems on them. Sourced by the lib.sh of a tier.

# A block device on a file: loop_disk FILE [OPTION]... (of losetup). Sets DISK.
loop_disk() {
	modprobe loop 2>/dev/null || true # it may be built in
	DISK=$(losetup --find --show "${@:2}" "$1") || skip "no loop device to be had"
	defer losetup --detach "$DISK"
}

# loop_fs DIRECTORY SIZE [OPTION]...: ext4 in a file of its own, mounted at $T/DIRECTORY. Sets DISK.
loop_fs() {
	loop_disk "$(image "$1.fs" "$2")"
	mkfs.ext4 -q "$DISK"
	mkdir "$T/$1"
	mount "${@:3}" "$DISK" "$T/$1"
}

lazy_umount() {
	grep -o " ${T}[^ ]*" /proc/mounts | sort -r | xargs -r -n1 umount -l || true
}
