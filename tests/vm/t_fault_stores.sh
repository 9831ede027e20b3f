#!/bin/bash
# The stores null:, error: and fault:, as disks of this host and of a client of vhost-vdpa.
# expect-dmesg: error, dev vd|Buffer I/O error on dev|I/O error
# once
. tests/vm/lib.sh

# read_one NAME: reads 4 KiB, and prints how many milliseconds that took
read_one() {
	local began=${EPOCHREALTIME/./}
	dd if="${NODE[$1]}" of=/dev/null bs=4k count=1 skip=7 iflag=direct status=none || return 1
	echo $(((${EPOCHREALTIME/./} - began) / 1000))
}

# write_and_flush NAME
write_and_flush() {
	xfs_io -d -c 'pwrite -q -S 0x5a 0 4k' -c fsync "${NODE[$1]}" >"$T/io" 2>&1
}

guest() {
	echo "driver=virtio-blk-vhost-vdpa,path=${NODE[guest]},cache.direct=on"
}

serve <<-C
	[null]
	path = null:
	size = 64M
	[error]
	path = error:
	size = 64M
	[lost]
	path = fault:lose_write=2:$(image lost.img 16M)
	[slow]
	path = fault:delay_ms=200:$(image slow.img 16M)
	[held]
	path = fault:hold_while=$T/hold,fail_while=$T/fail:$(image held.img 16M)
	[guest]
	path = fault:hold_while=$T/hold-guest:$(image guest.img 16M)
	driver = vhost-vdpa
	[other]
	path = $(image other.img 16M)
C
for name in null error; do
	is "size of $name" "$(blockdev --getsize64 "${NODE[$name]}")" $((64 << 20))
done
fill_direct "${NODE[null]}" 101 16M
if read_one error >"$T/io" 2>&1; then fail "a read succeeded with error:"; fi
if write_and_flush error; then fail "a write succeeded with error:"; fi
[ "$(read_one slow)" -ge 200 ] || fail "a read with delay_ms=200 was not slow"

# A lost write is a failed flush, as with a real store; and the disk does not forget it.
write_and_flush lost || fail "the first write: $(cat "$T/io")"
if write_and_flush lost; then fail "the second write was lost, and its flush succeeded"; fi
said 'lost: writes may be lost'
if write_and_flush lost; then fail "a flush after the loss succeeded"; fi

# Held operations do not end, and no other disk waits for them. At last they are done.
touch "$T/hold"
fill_direct "${NODE[held]}" 102 4M &
writer=$!
fill_direct "${NODE[other]}" 103 4M
sleep 1
kill -0 $writer || fail "a write that is held has ended"
rm "$T/hold"
wait $writer || fail "a write that was held failed"
filled "${NODE[held]}" 102 4M || fail "what was held is not there"
touch "$T/fail"
if write_and_flush held; then fail "a write succeeded while all should fail"; fi
rm "$T/fail"

# A client dies with a request that is held: the reset ends it, and the next client need not wait.
touch "$T/hold-guest"
timeout 60 qemu-io --image-opts "$(guest)" -c 'aio_write -P 0x22 0 16k' -c 'sleep 30000' >"$T/client" 2>&1 &
client=$!
sleep 2
pkill -KILL -P $client qemu-io || fail "the client ended by itself: $(cat "$T/client")"
timeout 20 qemu-io --image-opts "$(guest)" -c length >"$T/io" 2>&1 || fail "no next client: $(cat "$T/io")"
rm "$T/hold-guest"
timeout 20 qemu-io --image-opts "$(guest)" -c 'read -P 0 0 16k' >"$T/io" 2>&1 || fail "a read: $(cat "$T/io")"
! grep -q 'failed' "$T/io" || fail "a write that was held had an effect: $(cat "$T/io")"
wait $client 2>/dev/null || true

stop
quiet 'error: (error|lost|held): |(error|lost|held): cannot flush'
clean
