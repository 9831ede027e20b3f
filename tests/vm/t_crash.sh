#!/bin/bash
# kill -9 under load, again and again: the writers see pauses and never an error, no block is lost.
# KILLS: how often (4)
. tests/vm/lib.sh
. tests/vm/load.sh

either_ended() {
	part_ended raw || part_ended fs
}

kills=${KILLS:-4}
kernel_before=$(unreclaimable)
load_config >"$T/conf"
start_server
fds_before=$(fds)
load_start raw fs
say "$(find "/sys/block/${NODE[raw]#/dev/}/mq" -mindepth 1 -maxdepth 1 | wc -l) queues"

served_again() {
	grep -q 'requests that were in flight' "$T/said"
}

# A few more where nothing was in flight at any of them.
i=0
: >"$T/said"
while [ $i -lt "$kills" ] || { [ $i -lt $((kills + 30)) ] && ! served_again; }; do
	sleep "0.$((RANDOM % 10))"
	catch_requests "${NODE[raw]}" 8 either_ended
	if either_ended; then
		break # early: load_ends() says why
	fi
	kill -9 "$SERVER" || fail "the server ended by itself"
	wait "$SERVER" 2>/dev/null || true
	quiet
	cat "$T/err" >>"$T/said"
	start_server
	i=$((i + 1))
done
# On a busy machine few passes come to their end between the kills.
passes_mean_much() {
	[ "$(cat "$T/raw.passes")" -ge $((kills / 4)) ] || either_ended
}
wait_for 1200 "$((kills / 4)) passes of fio" passes_mean_much
load_ends 120 || fail "$WHY"
[ "$i" -ge "$kills" ] || fail "only $i kills"
load_check_fs
quiet
cat "$T/err" >>"$T/said"
served_again || fail "no request was in flight at any kill: nothing was tested"
say "$(grep -o 'repeats [0-9]* requests' "$T/said" | awk '{ n += $2 } END { print n }') requests were served again"
is "number of descriptors" "$(fds)" "$fds_before"
stop
clean
[ ! -e "$T/run/raw.inflight" ] || fail "the record of a destroyed device is left"
check_image
grown=$(($(unreclaimable) - kernel_before))
say "the kernel holds $grown KiB more than before $i kills"
[ $grown -le $((24576 + i * 64)) ] || fail "that is too much"
