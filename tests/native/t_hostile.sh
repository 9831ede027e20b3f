#!/bin/bash
# Front ends that break the rules of the protocol, at one disk of a server: the other disk serves its
# front end without an error or a stall, the attacked one serves the next, and nothing piles up.
# deadline: 900
. tests/native/lib.sh
need_vhost_user

victim=$(image victim.img 64M)
other=$(image other.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section victim "$victim" "$T/victim.socket" queues=2
	disk_section other "$other" "$T/other.socket" queues=2
)
# The address sanitizer maps memory of its own.
! grep -q __asan_init "$VDUSE_BLK" || export MAPS_SLACK=400
client hostile "$T/victim.socket" "$T/other.socket" "$SERVER"
say "$(tail -n 1 "$T/client")"
stop
grep -E 'ERROR: |WARNING: |runtime error' "$T/err" && fail "unexpected lines from the server"
exit 0
