#!/bin/bash
# "Backend program conventions" of QEMU: --print-capabilities, the description file, --socket-path, --fd
# with a socket that listens and one that is connected, --blk-file, --read-only.
. tests/native/lib.sh
need_vhost_user

# In the place of this shell: run_with_fd listening|connected PROGRAM ARGUMENT...: descriptor 3 is such
# a socket.
run_with_fd() {
	exec python3 - "$T/socket" "$@" <<-'END'
		import os, socket, sys
		path, kind, program = sys.argv[1], sys.argv[2], sys.argv[3:]
		if kind == "listening":
		    s = socket.socket(socket.AF_UNIX)
		    s.bind(path)
		    s.listen(1)
		    os.dup2(s.fileno(), 3)
		    os.set_inheritable(3, True)
		    os.execv(program[0], program)
		ours, its = socket.socketpair(socket.AF_UNIX)
		pid = os.fork()
		if pid == 0:
		    ours.close()
		    os.dup2(its.fileno(), 3)
		    os.set_inheritable(3, True)
		    os.execv(program[0], program)
		its.close()
		ours.settimeout(60)
		ours.send(bytes([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))  # GET_FEATURES
		reply = ours.recv(20)
		ours.close()
		status = os.waitpid(pid, 0)[1]
		sys.exit(0 if len(reply) == 20 and reply[4] == 5 and status == 0 else 1)
	END
}

ended_well() {
	wait_for "$PATIENCE" "end of the server" server_ended
	wait "$SERVER" || fail "status $?: $(cat "$T/err")"
	SERVER=
}

is "type" "$("$VDUSE_BLK" --print-capabilities | jq -r .type)" block
is "features" "$("$VDUSE_BLK" --print-capabilities | jq -c '.features | sort')" '["blk-file","read-only"]'

img=$(image disk.img 64M)
"$VDUSE_BLK" --socket-path="$T/socket" --blk-file="$img" >"$T/out" 2>"$T/err" &
SERVER=$!
wait_for "$PATIENCE" "socket" test -S "$T/socket"
client front_ends --queues 1 --image "$img" "$T/socket" vmm kept
# It ends at once, though a VMM is connected.
"$TOOLS/front_ends" --queues 1 --until "$T/never" "$T/socket" crash >"$T/client" 2>&1 &
client=$!
defer reap $client
wait_for "$PATIENCE" "I/O" grep -q running "$T/client"
kill -TERM "$SERVER"
ended_well
reap $client

before=$(checksum "$img")
rm -f "$T/socket"
run_with_fd listening "$VDUSE_BLK" --fd=3 --blk-file="$img" --read-only >"$T/out" 2>"$T/err" &
SERVER=$!
wait_for "$PATIENCE" "socket" test -S "$T/socket"
client front_ends --queues 1 "$T/socket" read-only
kill -TERM "$SERVER"
ended_well
is "the read-only image" "$(checksum "$img")" "$before"

(run_with_fd connected "$VDUSE_BLK" --fd=3 --blk-file="$img") >"$T/out" 2>"$T/err" || fail "connected descriptor: $(cat "$T/err")"

for arguments in "" "--socket-path=$T/s" "--fd=3" "--fd=77 --blk-file=$img" "--socket-path=$T/s --fd=3 --blk-file=$img" \
	"--socket-path=$T/s --blk-file=$T/nothing" "--socket-path=$T/s --blk-file=$img --nonsense"; do
	status=0
	# shellcheck disable=SC2086 # words on purpose
	timeout 60 "$VDUSE_BLK" $arguments >"$T/out" 2>"$T/err" || status=$?
	[ $status -ne 0 ] && [ $status -ne 124 ] && [ -s "$T/err" ] || fail "'$arguments': status $status, $(cat "$T/err")"
done
