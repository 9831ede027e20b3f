# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The load under which servers are killed and replaced, sourced after guest.sh: a scripted front end
# with four queues on one disk, and fio in a guest on another, both verified, both without end.

FRONT_END=

load_server() {
	scripted=$(image scripted.img 64M)
	guest=$(image guest.img 64M)
	serve < <(
		printf '[global]\nruntime_dir = %s\n' "$T/run"
		disk_section scripted "$scripted" "$T/scripted.socket" queues=4
		disk_section guest "$guest" "$T/guest.socket" queues=2
	)
}

load_start() {
	disk_options disk "$T/guest.socket" 2
	start_guest g "${DISK[@]}"
	ready g
	in_guest g "(n=0; until [ -e /tmp/enough ]; do n=\$((n + 1));
		$FIO --name=raw --filename=/dev/vda --bsrange=4k-64k --size=2m --numjobs=2 --offset_increment=16m --randseed=\$n >/tmp/raw.log 2>&1 || break;
		echo \$n >/tmp/raw.passes; done; [ -e /tmp/enough ]; echo \$? >/tmp/raw.ended) &" >/dev/null
	"$TOOLS/front_ends" --until "$T/enough" --image "$scripted" "$T/scripted.socket" crash >"$T/front_ends" 2>&1 &
	FRONT_END=$!
	defer reap $FRONT_END
	seen=0
}

more_than() {
	[ "$(grep -c '^running' "$T/front_ends")" -gt "$1" ] || process_ended $FRONT_END
}

# Both writers go on: load_runs. What came back since the last time is new.
load_runs() {
	wait_for "$PATIENCE" "I/O of the scripted front end" more_than $((seen + 1))
	seen=$(grep -c '^running' "$T/front_ends")
	! process_ended $FRONT_END || fail "front_ends: $(tail -n 3 "$T/front_ends")"
	in_guest g "[ ! -e /tmp/raw.ended ] || { cat /tmp/raw.log; exit 1; }" >/dev/null
}

load_ends() {
	touch "$T/enough"
	wait $FRONT_END || fail "front_ends: $(tail -n 3 "$T/front_ends")"
	in_guest g "touch /tmp/enough; until [ -s /tmp/raw.ended ]; do sleep 0.1; done" >/dev/null
	is "end of the writer in the guest" "$(in_guest g "cat /tmp/raw.ended")" 0
	say "$(grep '^[0-9]* requests' "$T/front_ends"); $(in_guest g "cat /tmp/raw.passes") passes of fio in the guest"
	end_guest g
}
