#!/bin/bash
# Under load, this version takes over from an earlier one, and neither starts beside the other.
# BEFORE: the program of the earlier version, as /src/build/before/vduse-blk/vduse-blk
# BACK: yes: it takes over from this version too (version 0.1.0 does not find the sockets of later ones)
# on request
. tests/vm/lib.sh
. tests/vm/load.sh

[ -x "${BEFORE-}" ] || fail "BEFORE is no program: '${BEFORE-}'"
now=$VDUSE_BLK

load_config >"$T/conf"
VDUSE_BLK=$BEFORE
start_server
load_start raw fs

# Neither version starts beside the other one, nor rescues a disk that it serves: beside PROGRAM
beside() {
	local status=0
	timeout 60 "$1" rescue raw -c "$T/conf" >"$T/beside" 2>&1 || status=$?
	is "status of a rescue of a served disk" $status 1
	grep -q "raw: another process serves .* process id $SERVER" "$T/beside" || fail "rescue: $(cat "$T/beside")"
	status=0
	head -n 5 "$T/conf" >"$T/less.conf"
	"$1" serve --takeover -c "$T/less.conf" >"$T/less" 2>&1 || status=$?
	is "status of a takeover of half a server" $status 1
	grep -q 'it serves fs too' "$T/less" || fail "it did not say what else is served: $(cat "$T/less")"
	"$1" list -c "$T/conf" | grep -qE "^raw +${NODE[raw]} .*$RAW\$" || fail "list: $("$1" list -c "$T/conf")"
}

for program in "$now" ${BACK:+"$BEFORE" "$now"}; do
	sleep 2
	beside "$program"
	VDUSE_BLK=$program
	take_over
	beside "$now"
	quiet
done
load_ends 120 || fail "$WHY"
load_check_fs
stop
clean
