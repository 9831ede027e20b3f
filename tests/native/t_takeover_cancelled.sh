#!/bin/bash
# A takeover that ends early, when the old server has released a disk: the old one serves it again, with the
# connection, so libblkio does not notice. The new one cannot bind its socket, or is killed there.
. tests/native/lib.sh
. tests/native/libblkio_load.sh
need_vhost_user

img=$(image disk.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section disk "$img" "$T/socket" queues=2
)
libblkio_starts 2

# Only for the socket of a disk a server calls chmod(), and then it has released and not adopted the disk.
for fault in error=EACCES signal=SIGKILL; do
	status=0
	timeout 60 strace -f -qq -o "$T/strace" -e trace=chmod,fchmodat -e "inject=chmod,fchmodat:$fault" \
		"$VDUSE_BLK" serve --takeover -c "$T/conf" >"$T/new.out" 2>"$T/new.err" || status=$?
	[ $status -ne 0 ] || fail "$fault: the new server ended well: $(cat "$T/new.err")"
	wait_for "$PATIENCE" "serving again after $fault" grep -q "serves 1 disks again" "$T/err"
	libblkio_runs
	grep -q "continues the connection" "$T/err" || fail "$(cat "$T/err")"
	: >"$T/err"
done
libblkio_ends
stop
