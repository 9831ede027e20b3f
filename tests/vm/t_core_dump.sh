#!/bin/bash
# A server that crashes leaves no core dump. A dump to a disk of this server would wait for the next
# server, and the next server for the end of the dump.
# once
. tests/vm/lib.sh

pattern=/proc/sys/kernel/core_pattern
was=$(cat $pattern)
restore() {
	echo "$was" >$pattern
}
defer restore

mkdir "$T/mnt"
cat >"$T/handler" <<-H
	#!/bin/bash
	: >$T/ran
	exec dd of=$T/mnt/core bs=64k iflag=fullblock oflag=direct status=none
H
chmod 755 "$T/handler"
echo "|$T/handler" >$pattern

ulimit -c 0
serve <<-C
	[one]
	path = $(image one.img 64M)
C
mkfs.ext4 -q "${NODE[one]}"
mount "${NODE[one]}" "$T/mnt"
echo before >"$T/mnt/file"
sync

kill -ABRT "$SERVER"
wait_for 60 "end of the server that crashed" server_ended
wait "$SERVER" 2>/dev/null || true
[ ! -e "$T/ran" ] || fail "the server was dumped"
start_server
echo 3 >/proc/sys/vm/drop_caches
is "the file" "$(timeout 60 cat "$T/mnt/file")" before
umount "$T/mnt"
stop
quiet
clean

# Who raises the limit wants the dump.
cat >"$T/handler" <<-H
	#!/bin/bash
	cat >/dev/null
	: >$T/ran
H
ulimit -c unlimited
start_server
kill -ABRT "$SERVER"
wait_for 60 "end of the server that crashed" server_ended
wait "$SERVER" 2>/dev/null || true
wait_for 60 "dump" test -e "$T/ran"
ulimit -c 0
start_server
stop
clean
