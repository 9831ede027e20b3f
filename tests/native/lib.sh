# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every test of the native tier starts with: a back end for vhost-user front ends.
#
# A test is tests/native/t_NAME.sh. The back end is vduse-blk, or, to show that the test itself is
# right, qemu-storage-daemon (BACKEND).
. tests/lib/server.sh
. tests/lib/stores.sh

BACKEND=${BACKEND:-vduse-blk}
TOOLS=$(dirname "$(dirname "$VDUSE_BLK")")/tests/native
PEER= # qemu-storage-daemon

# These disks are in no kernel's hands.
settle_udev() {
	:
}

# Skips the test where the program under test has no such front end yet.
need_vhost_user() {
	[ "$BACKEND" = vduse-blk ] || return 0
	"$VDUSE_BLK" --help-keys | cut -f2 | grep -qx socket ||
		skip "this vduse-blk has no vhost-user front end"
}

# disk_section NAME IMAGE SOCKET [KEY=VALUE]...: of a configuration file
disk_section() {
	printf '[%s]\npath = %s\ndriver = vhost-user\nsocket = %s\n' "$1" "$2" "$3"
	shift 3
	printf '%s\n' "${@/=/ = }"
}

# One disk: start_backend IMAGE SOCKET [KEY=VALUE]..., keys as in the configuration file. Waits until
# the socket is there.
start_backend() {
	case $BACKEND in
	vduse-blk) start_ours "$@" ;;
	qemu-storage-daemon) start_peer "$@" ;;
	*) fail "no back end '$BACKEND'" ;;
	esac
	wait_for "$PATIENCE" "socket" test -S "$2"
}

start_ours() {
	serve < <(
		printf '[global]\nruntime_dir = %s\n' "$T/run"
		disk_section disk "$@"
	)
}

# Its disks can have nothing but queues, and be read-only.
start_peer() {
	local image=$1 socket=$2 queues=1 writable=on pair
	shift 2
	for pair; do
		case $pair in
		queues=*) queues=${pair#*=} ;;
		readonly=yes) writable=off ;;
		*) skip "qemu-storage-daemon has nothing like $pair" ;;
		esac
	done
	qemu-storage-daemon \
		--blockdev "driver=file,filename=$image,node-name=f0,aio=io_uring,cache.direct=on,discard=unmap" \
		--blockdev driver=raw,file=f0,node-name=d0,discard=unmap \
		--export "type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=$socket,writable=$writable,num-queues=$queues" \
		2>"$T/err" &
	PEER=$!
	defer reap $PEER
}

# stop_backend [PATTERN]: of lines that vduse-blk may log
stop_backend() {
	case $BACKEND in
	vduse-blk) stop && quiet "$@" ;;
	qemu-storage-daemon)
		kill -TERM "$PEER"
		wait_for "$PATIENCE" "end of the back end" process_ended "$PEER"
		wait "$PEER" || fail "the back end ended with status $?"
		;;
	esac
}

# Runs one of the clients that the tier brings along, and shows what it said where it fails:
# client NAME ARGUMENT...
client() {
	local name=$1
	shift
	"$TOOLS/$name" "$@" >"$T/client" 2>&1 ||
		fail "$name $*: status $?: $(grep -vE '^ok ' "$T/client" | tail -n 20)"
}

# Only what belongs to this test: this tier runs among other processes.
show_state() {
	echo "    its state:"
	{
		timeout 10 "$VDUSE_BLK" stats -c "$T/conf"
		ps -o pid,etimes,time,stat,wchan:24,comm -s "$(ps -o sid= $$)"
	} 2>/dev/null | sed 's/^/    | /'
}
