#!/bin/bash
# A disk moves between two servers with requests in flight (GET_VRING_BASE_INFLIGHT), while the store of one
# of them stalls every now and then: requests wait there, and the other server serves them.
. tests/native/lib.sh
need_vhost_user

img=$(image disk.img 64M)
path=fault:hold_while=$T/stalled:$img
config() { # RUNTIME-DIRECTORY PATH SOCKET
	printf '[global]\nruntime_dir = %s\n' "$T/$1"
	disk_section disk "$2" "$3" queues=4 cache=none
}

serve < <(config target "$img" "$T/target.sock")
set_aside
serve < <(config source "$path" "$T/source.sock")
stalls() {
	while sleep 0.2; do
		touch "$T/stalled"
		sleep 0.2
		rm "$T/stalled"
	done
}
stalls &
staller=$!
defer reap $staller
client front_ends --queues 4 --rounds 20 --image "$img" --target "$T/target.sock" "$T/source.sock" move
moved=$(grep -o '^[0-9]* requests moved' "$T/client")
say "$moved"
[ "${moved%% *}" -gt 0 ] || fail "no request was in flight"
kill $staller
stop
quiet
take_back
stop
quiet
