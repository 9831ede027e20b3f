#!/bin/bash
# Attached and detached again and again, with I/O running at every end, nothing is left and nothing
# grows in the kernel. t_unbind has a server whose driver comes and goes.
# CYCLES: how often (6)
# expect-dmesg: I/O error
# deadline: 1200
# once
. tests/vm/lib.sh

cycles=${CYCLES:-6}
img=$(image disk.img 64M)
fill "$img" 125 64M # so that it does not grow in memory while memory is looked at
client_status=0

available() {
	awk '/^MemAvailable:/ { print $2 }' /proc/meminfo
}

# Writes until it is stopped or has errors.
write_on() {
	exec dd if=/dev/zero of="$1" bs=64k oflag=direct conv=notrunc status=none
}

# Only clients write; udev reads whenever a disk appears, or is closed by a writer.
writes() {
	awk '{ print $5 }' "/sys/block/${node#/dev/}/stat"
}

busy() {
	[ "$(writes)" -gt 20 ]
}

# Starts a client and waits until it has done something: client COMMAND...
client() {
	"$@" >"$T/client" 2>&1 &
	CLIENT=$!
	wait_for 30 "I/O of the client" busy
}

client_ended() {
	client_status=0
	wait "$CLIENT" 2>/dev/null || client_status=$?
}

# It is killed, and the very next thing is the signal: its requests are still under way.
end_killed() {
	client write_on "$node"
	kill -KILL $CLIENT
	kill -TERM "$SERVER"
	client_ended
	ended
	quiet 'is in use'
}

# Has the disk open and writes until the server has said so.
write_until_said() {
	exec 3<>"$node"
	until grep -q 'is in use' "$T/err"; do
		dd if=/dev/zero bs=4k count=20 oflag=direct conv=notrunc status=none >&3 || exit 1
	done
}

# It ends by itself, a little after the signal: the server waits for it.
end_waiting() {
	client write_until_said
	kill -TERM "$SERVER"
	client_ended
	is "status of a writer that was let finish: $(cat "$T/client")" $client_status 0
	ended
	grep -q 'is in use: opened by' "$T/err" || fail "no word of the writer"
	quiet 'is in use'
}

# It would never end: the second signal takes the disk away, and the client has errors.
end_forced() {
	client fio --name=x --filename="$node" --ioengine=io_uring --direct=1 --rw=randrw --bs=16k \
		--iodepth=32 --time_based --runtime=600
	kill -TERM "$SERVER"
	wait_for 30 "word of the client" grep -q 'is in use' "$T/err"
	kill -TERM "$SERVER"
	ended
	client_ended
	[ $client_status -ne 0 ] || fail "the disk was taken away, and fio saw no error: $(cat "$T/client")"
	quiet 'is in use'
}

memory_after() {
	unreclaimable_kib=$(unreclaimable)
	available_kib=$(available)
	say "after $1 cycles: unreclaimable $unreclaimable_kib KiB, available $available_kib KiB"
}

# microseconds
now() {
	echo "${EPOCHREALTIME/./}"
}

ways=(end_killed end_waiting end_forced)
started=$(now) attaching=0
for ((n = 1; n <= cycles; n++)); do
	begun=$(now)
	serve <<-C
		[disk]
		path = $img
	C
	attaching=$((attaching + $(now) - begun))
	node=${NODE[disk]}
	${ways[n % 3]}
	clean
	if [ $n -eq 5 ]; then
		memory_after $n
		early_unreclaimable=$unreclaimable_kib early_available=$available_kib
	fi
done
say "$((($(now) - started) / cycles / 1000)) ms for a cycle, $((attaching / cycles / 1000)) of them to attach"
if [ "$cycles" -gt 5 ]; then
	memory_after "$cycles"
	grown=$((unreclaimable_kib - early_unreclaimable))
	[ $grown -le $((8192 + (cycles - 5) * 64)) ] || fail "the kernel holds $grown KiB more"
	grown=$((early_available - available_kib))
	[ $grown -le $((32768 + (cycles - 5) * 64)) ] || fail "$grown KiB fewer are available"
fi
