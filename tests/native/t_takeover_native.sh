#!/bin/bash
# serve --takeover under verified writes of a scripted front end and of a guest.
# TAKEOVERS: how often (4)
# deadline: 1800
. tests/native/lib.sh
. tests/native/guest.sh
. tests/native/load.sh
need_vhost_user

takeovers=${TAKEOVERS:-4}
load_server
load_start
load_runs
fds_before=$(fds)
for ((n = 0; n < takeovers; n++)); do
	load_runs
	take_over
	quiet
done
load_runs
[ "$(fds)" -le "$fds_before" ] || fail "descriptors: $fds_before before, $(fds) now"
load_ends
stop
quiet
