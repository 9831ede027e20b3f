#!/bin/bash
# The end of a login session sends SIGTERM, SIGHUP and SIGCONT in one burst: that is one signal, and a
# mounted disk stays. SIGHUP alone does nothing. A later second signal detaches the disk in use.
# expect-dmesg: I/O error|EXT4-fs|JBD2|Aborting journal
# once
. tests/vm/lib.sh

img=$(image disk.img 64M)
serve <<-C
	[disk]
	path = $img
C
mkfs.ext4 -q "${NODE[disk]}"
mkdir "$T/mnt"
mount "${NODE[disk]}" "$T/mnt"
settle_udev

works() {
	! server_ended || fail "the server ended"
	date >"$T/mnt/date"
	timeout 20 sync -f "$T/mnt" || fail "the mounted disk is not served"
}

kill -HUP "$SERVER"
wait_for 30 "word of SIGHUP" grep -q 'SIGHUP is ignored' "$T/err"
works
is "state after SIGHUP" "$("$VDUSE_BLK" list -c "$T/conf" | awk 'NR == 2 { print $4 }')" attached

for n in 1 2 3 4 5; do
	kill -TERM "$SERVER"
	kill -HUP "$SERVER"
	kill -INT "$SERVER"
	kill -CONT "$SERVER"
done
wait_for 30 "word of who uses it" grep -q 'warning: disk: .* is in use: mounted on' "$T/err"
sleep 2
works

kill -TERM "$SERVER"
ended
said 'detaching, disks in use too'
umount "$T/mnt" 2>/dev/null || umount -l "$T/mnt"
clean
