#!/bin/bash
# A new server takes over from a running one, under load: the writers see a short pause, no error.
# TAKEOVERS: how often (3)
. tests/vm/lib.sh
. tests/vm/load.sh

times=${TAKEOVERS:-3}
kernel_before=$(unreclaimable)
load_config >"$T/conf"
start_server
fds_before=$(fds)
load_start raw fs

list() {
	"$VDUSE_BLK" list -c "$T/conf"
}

for ((n = 0; n < times; n++)); do
	sleep 0.$((RANDOM % 10))
	if part_ended raw || part_ended fs; then
		break # early: load_ends() says why
	fi
	fio --name=probe --filename="${NODE[raw]}" --direct=1 --rw=randread --bs=4k --time_based \
		--runtime=600 --output-format=json --output="$T/probe" &
	probe=$!
	sleep 1
	take_over
	quiet
	sleep 0.5
	kill -INT $probe
	wait $probe || true
	sed -n '/^{/,$p' "$T/probe" | jq '.jobs[0].read.clat_ns.max / 1000000 | floor' >>"$T/pauses"
	is "lines of list" "$(list | wc -l)" 3 # with the header
	grep -qE "^raw +${NODE[raw]} +virtio-vdpa +attached +64M +$RAW\$" <(list) || fail "list: $(list)"
done
sort -n "$T/pauses" | awk '{ ms[NR] = $1 } END {
	print "    the slowest read at a takeover: " ms[int((NR + 1) / 2)] " ms (median of " NR "), " ms[NR] " ms (longest)" }'
is "number of descriptors" "$(fds)" "$fds_before"
[ "$("$VDUSE_BLK" stats --json -c "$T/conf" | jq -r '.[] | select(.name == "raw") | .queues | length')" -eq 4 ] ||
	fail "stats --json: $("$VDUSE_BLK" stats --json -c "$T/conf")"

# Not from a server that has disks which we would leave alone.
head -n 5 "$T/conf" >"$T/less.conf"
status=0
"$VDUSE_BLK" serve --takeover -c "$T/less.conf" >"$T/less" 2>&1 || status=$?
is "status of a takeover of half a server" $status 1
grep -q 'it serves fs too' "$T/less" || fail "it did not say what else is served: $(cat "$T/less")"

load_ends 120 || fail "$WHY"
is "takeovers" "$n" "$times"
load_check_fs

# Without a new server nothing is detached either, and the next one goes on.
kill -USR1 "$SERVER"
ended
said 'leaving all disks as they are'
[ -b "${NODE[raw]}" ] || fail "a disk is gone"
is "answers when nobody serves" "$(list 2>/dev/null)" ""
start_server
fill_direct "${NODE[raw]}" 101 64K
stop
clean
check_image
left=$(ls "$T/run")
is "what is left in runtime_dir" "$left" ""
grown=$(($(unreclaimable) - kernel_before))
say "the kernel holds $grown KiB more than before $times takeovers"
[ $grown -le $((24576 + times * 64)) ] || fail "that is too much"
