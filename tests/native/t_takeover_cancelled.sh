#!/bin/bash
# A takeover that ends early: the old server serves its disks again, with their connections, so libblkio does
# not notice. The new server cannot bind the socket of the first disk, or that of the second when it serves
# the first one already; it is killed there; it has too few descriptors.
. tests/native/lib.sh
. tests/native/libblkio_load.sh
need_vhost_user

serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section disk "$(image disk.img 64M)" "$T/socket" queues=2
	disk_section second "$(image second.img 16M)" "$T/second"
)
libblkio_starts 2

# fails_early COMMAND...: a takeover by a server that COMMAND runs
fails_early() {
	local status=0
	timeout 60 "$@" "$VDUSE_BLK" serve --takeover -c "$T/conf" >"$T/new.out" 2>"$T/new.err" || status=$?
	[ $status -ne 0 ] || fail "the new server ended well: $(cat "$T/new.err")"
	libblkio_runs
}

# Only for the socket of a disk a server calls chmod(), and then it has released and not adopted the disk.
for socket in "$T/socket" "$T/second"; do
	for fault in error=EACCES signal=SIGKILL; do
		fails_early strace -f -qq -o "$T/strace" -P "$socket" -e trace=chmod,fchmodat -e "inject=chmod,fchmodat:$fault"
		wait_for "$PATIENCE" "serving again after $fault" grep -q "serves [12] disks again" "$T/err"
		libblkio_runs
		grep -q "disk: continues the connection" "$T/err" || fail "$socket, $fault: $(cat "$T/err")"
		: >"$T/err"
	done
done

# It fails at any step, until it has enough.
new_server_has_ended_or_serves() {
	process_ended "$NEW" || [ "$(wc -l <"$T/new.out")" -eq 2 ]
}

for ((fds = 12; fds < 64; fds++)); do
	prlimit --nofile=$fds:$fds "$VDUSE_BLK" serve --takeover -c "$T/conf" >"$T/new.out" 2>"$T/new.err" &
	NEW=$!
	wait_for "$PATIENCE" "end of a takeover with $fds descriptors" new_server_has_ended_or_serves
	libblkio_runs
	process_ended $NEW || break
done
[ $fds -gt 20 ] || fail "a server of $fds descriptors took over"
[ $fds -lt 64 ] || fail "no takeover succeeded: $(cat "$T/new.err")"
wait "$SERVER" || fail "the old server ended with $?"
SERVER=
libblkio_ends
kill -TERM $NEW
wait_for "$PATIENCE" "end of the server" process_ended $NEW
wait $NEW || true # it serves with so few descriptors, but its end may want more
