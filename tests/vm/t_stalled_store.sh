#!/bin/bash
# A store that ends nothing for a while: resets and kills wait for it, other disks do not, nothing is lost.
# once
. tests/vm/lib.sh

stall() {
	dmsetup suspend --noflush --nolockfs stalls
}

in_flight() {
	local reads writes
	read -r reads writes <"/sys/block/$(basename "$(readlink -f /dev/mapper/stalls)")/inflight"
	echo $((reads + writes))
}

qemu_io() {
	timeout 60 qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=${NODE[$1]},cache.direct=on" \
		"${@:2}" >"$T/io" 2>&1 || fail "qemu-io ${*:2} on $1: $(cat "$T/io")"
	! grep -qE 'failed|rror' "$T/io" || fail "qemu-io ${*:2} on $1: $(cat "$T/io")"
}

modprobe dm_mod
null_disk 64
dmsetup create stalls --table "0 131072 linear $DISK 0"
defer dmsetup remove --retry stalls
defer dmsetup resume stalls
other=$(image other.img 16M)
serve <<-C
	[stalls]
	path = /dev/mapper/stalls
	driver = vhost-vdpa
	[other]
	path = $other
C

# A client dies with requests in flight that the kernel cannot cancel: its reset has to wait, or the
# store would read into memory that is somebody else's by then.
qemu_io stalls -c 'write -P 0x11 0 1M' -c flush
stall
timeout 60 qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=${NODE[stalls]},cache.direct=on" \
	-c 'aio_read 0 16k' -c 'aio_read 64k 16k' -c 'aio_write -P 0x22 128k 16k' -c 'sleep 30000' >"$T/client" 2>&1 &
client=$!
sleep 2
pkill -KILL -P $client qemu-io || fail "the client ended by itself: $(cat "$T/client")"
wait_for 20 "word of the store" grep -q 'reply to [A-Z_]* delayed' "$T/err"

# The other disk goes on meanwhile.
fill_direct "${NODE[other]}" 123 4M
filled "${NODE[other]}" 123 4M || fail "the other disk has not what was written"

dmsetup resume stalls
wait_for 20 "end of the reset" grep -q 'sent the reply to SET_STATUS' "$T/err"
wait $client 2>/dev/null || true
qemu_io stalls -c 'read -P 0x11 0 128k' -c 'write -P 0x33 128k 16k' -c 'read -P 0x33 128k 16k' -c flush

# A stalled disk of this host: its requests wait, and end well.
stop
quiet 'reply to [A-Z_]* delayed'
clean
serve <<-C
	[stalls]
	path = /dev/mapper/stalls
	[other]
	path = $other
C
fill_direct "${NODE[stalls]}" 101 1M
stall
fill_direct "${NODE[stalls]}" 102 8M &
writer=$!
sleep 2
filled "${NODE[other]}" 123 4M || fail "the other disk has not what was written"
kill -0 $writer || fail "a write to a stalled store has ended"
dmsetup resume stalls
wait $writer || fail "a write to a store that was stalled for a while failed"
filled "${NODE[stalls]}" 102 8M || fail "what was written during the stall is not there"
stop
quiet
clean
