# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every test of the VM tier starts with: serve, stop, and the promise that nothing is left.
#
# A test is tests/vm/t_GROUP_NAME.sh. It runs as root in a virtual machine with a VDUSE kernel, in
# a directory of its own ($T, removed afterwards), and passes (0), fails, or is skipped (77).
# $VDUSE_BLK is the program under test.
set -euo pipefail

VDUSE_BLK=${VDUSE_BLK:-$PWD/vduse-blk/vduse-blk}
T=$(mktemp -d "${TMPDIR:-/tmp}/vduse-blk.XXXXXX")
SERVER=
declare -A NODE=()

say() {
	echo "    $*"
}

fail() {
	echo "    FAIL: $*" >&2
	if [ -s "$T/err" ]; then
		echo "    the server said:" >&2
		sed 's/^/    | /' "$T/err" | tail -n 30 >&2
	fi
	exit 1
}

skip() {
	echo "    skipped: $*"
	exit 77
}

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "no $what in time"
		sleep 0.05
	done
}

devices_printed() {
	[ "$(wc -l <"$T/out")" -ge "$1" ] || ! kill -0 "$SERVER"
}

# Starts the server with the configuration on standard input and waits until all its devices are
# usable: serve [DEVICES]. Sets SERVER and NODE[name].
serve() {
	local count name node
	cat >"$T/conf"
	count=$(grep -c '^\[' "$T/conf")
	if grep -q '^\[global\]' "$T/conf"; then count=$((count - 1)); fi
	: >"$T/out"
	"$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" &
	SERVER=$!
	wait_for 60 "device" devices_printed "$count"
	kill -0 "$SERVER" 2>/dev/null || fail "the server ended"
	NODE=()
	while read -r name node; do
		NODE[$name]=$node
	done <"$T/out"
}

# Asks the server to detach and wants it to end well: stop [EXIT_STATUS]
stop() {
	local want=${1:-0} status=0
	kill -TERM "$SERVER"
	wait_for 60 "end of the server" server_ended
	wait "$SERVER" || status=$?
	SERVER=
	[ "$status" -eq "$want" ] || fail "the server ended with status $status, not $want"
}

server_ended() {
	! kill -0 "$SERVER" 2>/dev/null || grep -q '^State:.*Z' "/proc/$SERVER/status"
}

# No warning or error line from the server but those that match a pattern: quiet [PATTERN]
quiet() {
	if grep -E 'warning: |error: |ERROR: |runtime error' "$T/err" | grep -vE -- "${1:-^\$}"; then
		fail "unexpected lines from the server"
	fi
}

said() {
	grep -qE -- "$1" "$T/err" || fail "the server did not say '$1'"
}

# Nothing in the kernel: clean
clean() {
	local left
	left=$(ls /sys/bus/vdpa/devices 2>/dev/null || true)
	[ -z "$left" ] || fail "left on the vdpa bus: $left"
	left=$(find /sys/class/vduse -mindepth 1 -maxdepth 1 ! -name control 2>/dev/null || true)
	[ -z "$left" ] || fail "left in VDUSE: $left"
}

image() {
	truncate -s "$2" "$T/$1"
	echo "$T/$1"
}

sysfs() {
	cat "/sys/block/${1#/dev/}/$2"
}

finish() {
	local status=$?
	trap - EXIT
	if [ -n "$SERVER" ] && kill -0 "$SERVER" 2>/dev/null; then
		grep -o " $T[^ ]*" /proc/mounts | sort -r | xargs -r -n1 umount -l || true
		kill -TERM "$SERVER" && sleep 0.2 && kill -TERM "$SERVER" 2>/dev/null
		wait "$SERVER"
	fi
	grep -o " $T[^ ]*" /proc/mounts | sort -r | xargs -r -n1 umount -l || true
	rm -rf "$T"
	exit $status
}
trap finish EXIT
