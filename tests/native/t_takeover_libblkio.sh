#!/bin/bash
# serve --takeover under verified I/O of libblkio, which never connects again: the connection passes from
# server to server. TAKEOVERS: how often (10)
# deadline: 1800
. tests/native/lib.sh
need_vhost_user

takeovers=${TAKEOVERS:-10}
img=$(image disk.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section disk "$img" "$T/socket" queues=4
)
"$TOOLS/blkio_verify" "$T/socket" 4 "$T/enough" >"$T/blkio" 2>&1 &
CLIENT=$!
defer reap $CLIENT
seen=0

more_than() {
	[ "$(grep -c '^running' "$T/blkio")" -gt "$1" ] || process_ended $CLIENT
}
client_runs() {
	wait_for "$PATIENCE" "I/O of libblkio" more_than $((seen + 8))
	! process_ended $CLIENT || fail "blkio_verify: $(tail -n 3 "$T/blkio")"
	seen=$(grep -c '^running' "$T/blkio")
}

client_runs
take_over
client_runs
fds_before=$(fds)
for ((n = 0; n < takeovers; n++)); do
	take_over
	client_runs
	quiet
done
is "descriptors after $takeovers takeovers" "$(fds)" "$fds_before"
touch "$T/enough"
wait $CLIENT || fail "blkio_verify: $(tail -n 3 "$T/blkio")"
say "$(grep -c '^running' "$T/blkio") thousand requests"
# A second client connects to the socket of the last server.
client blkio_verify "$T/socket" 1 2000
stop
quiet
