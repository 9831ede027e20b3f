#!/bin/bash
# A store grows while its disk is served and written, and while no server runs: the front end is told,
# and a guest sees the new size and uses it. A store that has shrunk is refused.
# deadline: 600
. tests/native/lib.sh
. tests/native/guest.sh
need_vhost_user

grow() { # MIB
	truncate -s "$1M" "$img"
	timeout "$PATIENCE" "$VDUSE_BLK" resize disk -c "$T/conf" >"$T/resize" 2>&1 ||
		fail "resize: status $?: $(cat "$T/resize")"
}

guest_sees() { # MIB
	in_guest g "n=0; until [ \$(cat /sys/block/vda/size) = $(($1 * 2048)) ]; do
		n=\$((n + 1)); [ \$n -lt 600 ] || exit 1; sleep 0.1; done" >/dev/null
}

img=$(image disk.img 64M)
start_backend "$img" "$T/socket" queues=2
"$TOOLS/front_ends" --queues 2 "$T/socket" resize >"$T/client" 2>&1 &
client=$!
defer reap $client
wait_for "$PATIENCE" "front end" grep -qx ready "$T/client"
grow 96
wait $client || fail "front_ends: $(cat "$T/client")"
grep -qx "capacity $((96 * 2048))" "$T/client" || fail "front_ends: $(cat "$T/client")"

disk_options disk "$T/socket" 2
start_guest g "${DISK[@]}"
ready g
is "size of the disk" "$(in_guest g "cat /sys/block/vda/size")" $((96 * 2048))
in_guest g "($FIO --name=raw --filename=/dev/vda --bsrange=4k-64k --size=4m --loops=20 >/tmp/raw.log 2>&1; echo \$? >/tmp/raw.ended) &" >/dev/null
for mib in 128 160; do
	grow $mib
	guest_sees $mib
done
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
truncate -s 192M "$img"
start_server
guest_sees 192
fio_in g --name=new --filename=/dev/vda --offset=160m --size=16m --bsrange=4k-64k
in_guest g "until [ -s /tmp/raw.ended ]; do sleep 0.1; done; [ \$(cat /tmp/raw.ended) = 0 ] || { cat /tmp/raw.log; exit 1; }" >/dev/null
quiet

cp --sparse=always "$img" "$T/copy"
truncate -s 64M "$img"
status=0
timeout "$PATIENCE" "$VDUSE_BLK" resize disk -c "$T/conf" >"$T/resize" 2>&1 || status=$?
[ $status -ne 0 ] || fail "a store that has shrunk: $(cat "$T/resize")"
is "size of the disk" "$(in_guest g "cat /sys/block/vda/size")" $((192 * 2048))
truncate -s 192M "$img"
end_guest g
stop_backend
