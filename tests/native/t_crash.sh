#!/bin/bash
# kill -9 of the server under verified writes, of a scripted front end and of a guest: the requests in
# flight are served again, by the area that the front end holds, and nobody sees an error.
# KILLS: how often (4)
# deadline: 1800
. tests/native/lib.sh
. tests/native/guest.sh
. tests/native/load.sh
need_vhost_user

kills=${KILLS:-4}
load_server
load_start
for ((n = 0; n < kills; n++)); do
	load_runs
	kill -9 "$SERVER" || fail "the server ended by itself"
	wait "$SERVER" 2>/dev/null || true
	quiet
	cat "$T/err" >>"$T/said"
	start_server
done
load_runs
load_ends
stop
quiet
say "$(grep -o 'repeats [0-9]* requests' "$T/said" "$T/err" | awk '{ n += $2 } END { print n + 0 }') requests were served again after $kills kills"
