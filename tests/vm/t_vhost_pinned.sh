#!/bin/bash
# pin_guest_memory: data stays right, what is pinned goes with the client, however that ends.
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

# What the rings have registered; VmPin does not count it on every kernel. Free
# places have the address ~0.
pinned_kib() {
	cat "/proc/$SERVER"/fdinfo/* |
		awk -F / '/^ *[0-9]+: 0x[0-9a-f]+\/[0-9]+$/ && !/0xffffffffffffffff/ { n += $2 } END { print int(n / 1024) }'
}

pinned() {
	[ "$(pinned_kib)" -gt 0 ]
}

nothing_pinned() {
	[ "$(pinned_kib)" -eq 0 ]
}

# A client of its own process group, which does what is written to descriptor 9: client NAME
client() {
	mkfifo "$T/commands"
	qemu-io --image-opts "$(opts "$1")" <"$T/commands" >"$T/client" 2>&1 &
	CLIENT=$!
	exec 9>"$T/commands"
	rm "$T/commands"
}

# Reads and writes without end, none beside another: they would be merged.
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

busy() {
	local reads writes
	read -r reads writes <"/sys/block/${slow#/dev/}/inflight"
	[ $((reads + writes)) -ge 4 ]
}

w=$(image w.img 64M)
null_disk 16 irqmode=2 completion_nsec=50000000 hw_queue_depth=128
slow=$DISK
serve <<-C
	[w]
	path = $w
	driver = vhost-vdpa
	queues = 2
	pin_guest_memory = yes
	[plain]
	path = $(image plain.img 8M)
	driver = vhost-vdpa
	[slow]
	path = $slow
	driver = vhost-vdpa
	pin_guest_memory = yes
C
nothing_pinned || fail "$(pinned_kib) KiB are pinned before there is a guest"

# Single pieces and many, odd places and sizes, large ones that are cut.
io w -c 'write -P 0x5a 0 64k' -c 'read -P 0x5a 0 64k' -c flush \
	-c 'write -P 0x61 1M 8M' -c 'read -P 0x61 1M 8M' \
	-c 'write -P 0x07 512 1536' -c 'read -P 0x07 512 1536' -c 'read -P 0x5a 2048 62k' \
	-c 'write -z 8k 4k' -c 'read -P 0 8k 4k' -c 'discard 2M 1M' -c 'read -P 0 2M 1M' \
	-c 'writev -P 0x04 16M 512 4k 512 64k' -c 'readv -P 0x04 16M 512 4k 512 64k'
wait_for 10 "memory to be given back" nothing_pinned
io w -c 'read -P 0x61 4M 1M' -c 'read -P 0x04 16M 69k'
io plain -c 'write -P 0x10 0 64k' -c 'read -P 0x10 0 64k'

# Pinned while a client is there, and no longer; without the key, not at all.
client w
echo 'write -P 0x33 20M 4k' >&9
wait_for 30 "pinned memory" pinned
say "$(pinned_kib) KiB of a client are pinned"
echo quit >&9
exec 9>&-
wait $CLIENT || fail "the client: $(cat "$T/client")"
wait_for 10 "memory to be given back" nothing_pinned
client plain
echo 'write -P 0x33 1M 4k' >&9
wait_for 30 "the write" grep -q 'wrote 4096' "$T/client"
nothing_pinned || fail "$(pinned_kib) KiB are pinned without the key"
exec 9>&-
wait $CLIENT || fail "the client: $(cat "$T/client")"

# Clients that are killed with requests in flight; the disk takes 50 ms for each.
maps_before=$(maps)
for ((n = 0; n < 3; n++)); do
	timeout 60 qemu-io --image-opts "$(opts slow)" < <(load) >"$T/load" 2>&1 &
	CLIENT=$!
	wait_for 60 "requests in flight" busy
	pkill -KILL -P $CLIENT qemu-io || fail "the client ended by itself: $(tail -n 3 "$T/load")"
	wait $CLIENT 2>/dev/null || true
	wait_for 10 "memory to be given back" nothing_pinned
	io slow -c "write -P $n 8M 64k" -c "read -P $n 8M 64k" -c flush
done
[ "$(maps)" -le $((maps_before + 32)) ] || fail "mappings: $maps_before before, $(maps) now"

stop
quiet
clean
filled "$w" 063 4K 20M || fail "what was written at 20M is not in the image"
filled "$slow" 002 64K 8M || fail "what was written after the killed clients is not on the disk"
