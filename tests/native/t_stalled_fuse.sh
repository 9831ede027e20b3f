#!/bin/bash
# A file server stalls (FUSE), and close() of its files with it. The server of the disks is killed: the next
# one serves the other disks at once, and the disk of the stalled store when the file server goes on.
# once
. tests/native/lib.sh
. tests/native/libblkio_load.sh
. tests/lib/fuse_store.sh
need_vhost_user

other=$(image other.img 64M)
fuse_store slow.img 64M

# The stalled store's descriptors are before or after those of the other disk.
configure() { # NAME...
	local name
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	for name; do
		case $name in
		slow) disk_section slow "$T/slow.img" "$T/socket" queues=4 ;;
		other) disk_section other "$other" "$T/other.sock" ;;
		esac
	done
}

fuse_threads_wait() {
	grep -q fuse "/proc/$SERVER/task"/*/wchan
}

for order in "slow other" "other slow"; do
	say "$order"
	rm -f "$T/enough"
	# shellcheck disable=SC2086
	serve < <(configure $order)
	libblkio_starts 4
	client blkio_verify "$T/other.sock" 1 500
	fuse_stalls
	wait_for "$PATIENCE" "I/O that waits for the file server" fuse_threads_wait
	client blkio_verify "$T/other.sock" 1 500 # the disk as it is
	dead=$SERVER
	kill -KILL "$SERVER"
	disown "$SERVER"
	: >"$T/out"
	"$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" &
	SERVER=$!
	wait_for "$PATIENCE" "disk other" grep -q '^other ' "$T/out"
	client blkio_verify "$T/other.sock" 1 500
	[ -e "/proc/$dead" ] || fail "nothing of the killed server is left: it had nothing to wait for"
	fuse_goes_on
	reap "$LIBBLKIO" # its server was killed
	wait_for "$PATIENCE" "disk slow" grep -q '^slow ' "$T/out"
	client blkio_verify "$T/socket" 1 500
	stop
	quiet
done
