# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# qemu-io on a vhost-user disk, by libblkio. IO_SOCKET: the socket; $T/socket unless it is set.

io_options() {
	echo "driver=virtio-blk-vhost-user,path=${IO_SOCKET:-$T/socket},cache.direct=on"
}

io() {
	timeout 60 qemu-io --image-opts "$(io_options)" \
		"$@" >"$T/io" 2>&1 || fail "qemu-io $*: status $?: $(cat "$T/io")"
	if grep -qE 'failed|rror' "$T/io"; then
		fail "qemu-io $*: $(cat "$T/io")"
	fi
}

# The same, but it must fail.
io_refused() {
	local status=0
	timeout 60 qemu-io --image-opts "$(io_options)" \
		"$@" >"$T/io" 2>&1 || status=$?
	[ $status -eq 1 ] || fail "qemu-io $*: status $status, not 1: $(cat "$T/io")"
	grep -q 'failed: Input/output error' "$T/io" || fail "qemu-io $*: $(cat "$T/io")"
}

# Of all bytes of the disk.
io_checksum() {
	qemu-img convert --image-opts "$(io_options)" -O raw "$T/copy" >"$T/io" 2>&1 ||
		fail "qemu-img: $(cat "$T/io")"
	checksum "$T/copy"
}
