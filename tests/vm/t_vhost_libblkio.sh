#!/bin/bash
# A disk on vhost-vdpa, driven by libblkio (through qemu-io): data, limits, many opens, a killed client.
. tests/vm/lib.sh

opts() {
	echo "driver=virtio-blk-vhost-vdpa,path=${NODE[$1]},cache.direct=on"
}

# One qemu-io with one open of the node, which resets the device: io NAME ARGUMENT...
io() {
	local name=$1
	shift
	timeout 60 qemu-io --image-opts "$(opts "$name")" "$@" >"$T/io" 2>&1 ||
		fail "qemu-io $* on $name: status $?: $(cat "$T/io")"
	if grep -qE 'failed|rror' "$T/io"; then
		fail "qemu-io $* on $name: $(cat "$T/io")"
	fi
}

# The same, but it must fail, soon and by itself: io_refused NAME WHAT-IT-SAYS ARGUMENT...
io_refused() {
	local name=$1 says=$2 status=0
	shift 2
	timeout 60 qemu-io --image-opts "$(opts "$name")" "$@" >"$T/io" 2>&1 || status=$?
	[ $status -eq 1 ] || fail "qemu-io $* on $name: status $status, not 1: $(cat "$T/io")"
	grep -q "$says" "$T/io" || fail "qemu-io $* on $name did not say '$says': $(cat "$T/io")"
}

# Reads and writes without end, none beside another: they would be merged. QEMU has 144 KiB of bounce
# memory for them, so 9 are in flight.
load() {
	local n
	while :; do
		for ((n = 0; n < 64; n++)); do
			echo "aio_write -q -P 0x77 $((n * 64))k 16k"
			echo "aio_read -q $((n * 64 + 32))k 16k"
		done
		echo aio_flush
	done 2>/dev/null
}

# How many requests the slow disk has: reads and writes.
in_flight() {
	local reads writes
	read -r reads writes <"/sys/block/${slow#/dev/}/inflight"
	echo $((reads + writes))
}

many_in_flight() {
	[ "$(in_flight)" -ge 4 ]
}

w=$(image w.img 64M)
r=$(image r.img 8M)
head -c 1M /dev/urandom | dd of="$r" bs=64k seek=16 conv=notrunc status=none
before=$(checksum "$r")
null_disk 16 irqmode=2 completion_nsec=50000000 hw_queue_depth=128
slow=$DISK
serve <<-C
	[w]
	path = $w
	driver = vhost-vdpa
	[r]
	path = $r
	driver = vhost-vdpa
	readonly = yes
	[slow]
	path = $slow
	driver = vhost-vdpa
C
for name in w r slow; do
	[[ ${NODE[$name]} == /dev/vhost-vdpa-* && -c ${NODE[$name]} ]] ||
		fail "$name: ${NODE[$name]} is not a node of vhost-vdpa"
done

# One open: write, read back, flush, discard, zero; odd places and sizes; a scattered buffer.
io w -c 'write -P 0x5a 0 64k' -c 'read -P 0x5a 0 64k' -c flush \
	-c 'write -P 0x61 1M 8M' -c 'read -P 0x61 1M 8M' \
	-c 'write -P 0x07 512 1536' -c 'read -P 0x07 512 1536' -c 'read -P 0x5a 2048 62k' \
	-c 'write -z 8k 4k' -c 'read -P 0 8k 4k' -c 'read -P 0x5a 12k 52k' \
	-c 'discard 2M 1M' -c 'read -P 0 2M 1M' -c 'read -P 0x61 3M 6M' \
	-c 'write -z -u 4M 1M' -c 'read -P 0 4M 1M' \
	-c 'write -P 0x09 20481 1000' -c 'read -P 0x09 20481 1000' -c 'read -P 0x5a 20480 1' \
	-c 'writev -P 0x04 16M 512 4k 512 64k' -c 'readv -P 0x04 16M 512 4k 512 64k'

# The next open is another driver on the same device, and finds what the first one wrote.
io w -c 'read -P 0x61 3M 1M' -c 'read -P 0x04 16M 69k' -c flush

# The end of the disk, and behind it.
io w -c 'write -P 0x11 67043328 64k' -c 'write -P 0x12 67108352 512' -c 'read -P 0x12 67108352 512' \
	-c length
grep -qx '64 MiB' "$T/io" || fail "not the size of the disk: $(cat "$T/io")"
io_refused w 'write failed: Input/output error' -c 'write 64M 512'
io_refused w 'write failed: Input/output error' -c 'write 63M 2M'
io_refused w 'read failed: Input/output error' -c 'read 64M 4k'
io_refused w 'discard failed: Input/output error' -c 'discard 64M 4k'

# A disk that cannot be written.
io r -r -c 'read -P 0 0 1M' -c length
grep -qx '8 MiB' "$T/io" || fail "not the size of the disk: $(cat "$T/io")"
io_refused r 'read-only' -c 'write 0 4k'
is "the read-only image" "$(checksum "$r")" "$before"

# Many opens in a row, the same disk each time, and nothing piles up in the server.
for ((n = 0; n < 3; n++)); do
	io w -c 'read -P 0x5a 32k 4k'
done
fds_before=$(fds) maps_before=$(maps)
for ((n = 0; n < 5; n++)); do
	io w -c "write -P $((0x20 + n)) $((24 + n))M 64k" -c "read -P $((0x20 + n)) $((24 + n))M 64k"
done

# A client that dies with requests in flight, which end in the memory of nobody: the next one finds
# a device that works. The disk takes 50 ms for each request.
for ((n = 0; n < 3; n++)); do
	timeout 60 qemu-io --image-opts "$(opts slow)" < <(load) >"$T/load" 2>&1 &
	client=$!
	wait_for 60 "request in flight" many_in_flight
	sleep 0.$((n * 3))
	pkill -KILL -P $client qemu-io || fail "the client ended by itself: $(tail -n 3 "$T/load")"
	wait $client 2>/dev/null || true
	io slow -c "write -P $n 8M 64k" -c "read -P $n 8M 64k" -c flush
	is "requests in flight" "$(in_flight)" 0
done
[ "$(fds)" -le "$fds_before" ] || fail "descriptors: $fds_before before, $(fds) now"
[ "$(maps)" -le $((maps_before + 32)) ] || fail "mappings: $maps_before before, $(maps) now"

io w -c 'write -P 0x5a 40M 1M' -c 'write -z -u 40M 4k'
stop
quiet
clean
filled "$w" 022 512 67108352 || fail "the last sector is not what was written"
filled "$w" 044 64K 28M || fail "what was written at 28M is not in the image"
filled "$w" 0 4K 40M || fail "what was zeroed at 40M is not"
filled "$w" 132 1020K $((40 * 1048576 + 4096)) || fail "what was written at 40M is not in the image"
filled "$slow" 167 16K || fail "what the killed clients wrote is not on the disk"
filled "$slow" 002 64K 8M || fail "what was written after the killed clients is not on the disk"
is "the read-only image" "$(checksum "$r")" "$before"
