#!/bin/bash
# A store that cannot be served gets one line that names it and says why. (tests/unit/usage.sh has mistakes in
# the configuration, tests/vm/t_bad_input.sh those that concern the kernel.)
# once
. tests/native/lib.sh
need_vhost_user

img=$(image disk.img 16M)
chmod 755 "$T" # other users are to read what they may

# bad_store PATH PATTERN [KEY=VALUE]...
bad_store() {
	refused 1 "error: disk: .*$2" < <(
		printf '[global]\nruntime_dir = %s\n' "$T/run"
		disk_section disk "$1" "$T/socket" "${@:3}"
	)
	one_line "$T/refused.err"
	[ ! -e "$T/socket" ] || fail "a socket is left"
}

bad_store "$T/missing.img" "cannot open $T/missing.img: No such file"
bad_store "$T/missing/disk.img" "cannot open $T/missing/disk.img: No such file"
bad_store "$T" "cannot open $T: neither a regular file nor a block device"
mkfifo "$T/fifo"
bad_store "$T/fifo" "cannot open $T/fifo: neither a regular file nor a block device"
bad_store /dev/zero 'cannot open /dev/zero: neither a regular file nor a block device'
bad_store "$(image empty.img 0)" 'empty.img has 0 bytes: nothing to serve'
bad_store "$(image odd.img 10000)" 'odd.img.*size 10000.*multiple'
qemu-img create -q -f qcow2 "$T/format.img" 16M
truncate -s %512 "$T/format.img"
truncate -s +100 "$T/format.img"
bad_store "$T/format.img" 'multiple.*it looks like a qcow2 image; convert it: qemu-img convert -O raw'
bad_store "$img" 'size 33554432.*past the end' size=32M
bad_store "$img" 'offset|nothing to serve' offset=16M
chmod 400 "$img"
chattr +i "$img" 2>/dev/null && bad_store "$img" 'Operation not permitted' && chattr -i "$img"
chmod 600 "$img"
AS=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
rm -rf "$T/run" && mkdir "$T/run"
chown nobody "$T/run"
bad_store "$img" "cannot open $img: Permission denied"
AS=()
rm -rf "$T/run"

# A front end that connects finds a store that another program uses: said at that moment.
in_use() { # PATH WHAT
	start_backend "$1" "$T/socket"
	! timeout 60 "$TOOLS/blkio_verify" "$T/socket" 1 10 >"$T/client" 2>&1 || fail "$2 was served"
	said "disk: .*cannot open $1: in use by another process"
	stop
}

qemu-nbd --socket="$T/nbd" --format=raw --persistent "$img" >"$T/nbd.log" 2>&1 &
user=$!
defer reap $user
wait_for 30 "qemu-nbd" test -S "$T/nbd"
in_use "$img" "an image that qemu-nbd has"
reap $user
wait $user || true
loop_fs mnt 16M
in_use "$DISK" "a mounted disk"
umount "$T/mnt"
start_backend "$DISK" "$T/socket"
client blkio_verify "$T/socket" 1 10
stop_backend
