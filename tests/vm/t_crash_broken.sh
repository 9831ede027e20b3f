#!/bin/bash
# What t_crash.sh looks at finds one single request that is not served again: the record of what is
# in flight loses one between a kill and the next server.
# once
# expect-dmesg: I/O error|Buffer I/O error on dev
. tests/vm/lib.sh
. tests/vm/load.sh

kill_server() {
	kill -9 "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	SERVER=
}

record=$T/run/raw.inflight
load_config >"$T/conf"
start_server
load_start raw
kills=0 forgotten=
until [ -n "$forgotten" ]; do
	[ $((kills += 1)) -le 30 ] || fail "nothing was in flight at any kill"
	sleep 0.3
	catch_requests "${NODE[raw]}" 12
	kill_server
	# Where the server had not taken two of one queue, nothing is changed, and it is tried again.
	forgotten=$(tests/vm/forget_entry "$record" 2>"$T/forget") || start_server
done
start_server
# By a worker, which may come after the node is printed.
wait_for 30 "word of requests that are served again" grep -q 'requests that were in flight' "$T/err"
if load_ends 15; then
	fail "queue and head $forgotten: not served again, and nobody noticed"
fi
say "queue and head $forgotten: not served again: $WHY"
part_ended raw && fail "fio did not wait for it"

# The way out: rescue answers what the record has.
kill_server
tests/vm/forget_entry "$record" $forgotten
timeout 60 "$VDUSE_BLK" rescue fs -c "$T/conf" >"$T/rescue" 2>&1 || fail "rescue fs: $(cat "$T/rescue")"
timeout 60 "$VDUSE_BLK" rescue raw -c "$T/conf" >"$T/rescue" 2>&1 || fail "rescue raw: $(cat "$T/rescue")"
wait_for 30 "end of fio" part_ended raw
is "outcome of fio" "$(cat "$T/raw.ended")" 1
clean
