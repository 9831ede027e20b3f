#!/bin/bash
# The stores null:, error: and fault:, as disks of this host.
# expect-dmesg: error, dev vd|Buffer I/O error on dev|I/O error
# once
. tests/vm/lib.sh

# read_one NAME: reads 4 KiB, and prints how many milliseconds that took
read_one() {
	local began=${EPOCHREALTIME/./}
	dd if="${NODE[$1]}" of=/dev/null bs=4k count=1 skip=7 iflag=direct status=none
	echo $(((${EPOCHREALTIME/./} - began) / 1000))
}

# write_and_flush NAME
write_and_flush() {
	xfs_io -d -c 'pwrite -q -S 0x5a 0 4k' -c fsync "${NODE[$1]}" >"$T/io" 2>&1
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

# What is held does not prevent that the disk is taken away by force.
touch "$T/hold"
fill_direct "${NODE[held]}" 104 4M >"$T/dd" 2>&1 &
writer=$!
wait_for 20 "request in flight" under_way "${NODE[held]}" 1
kill -TERM "$SERVER"
wait_for 60 "report of the held disk" grep -q 'held: .* is in use' "$T/err"
kill -TERM "$SERVER"
ended
if wait $writer; then fail "a write succeeded whose disk was taken away"; fi
quiet 'error: |writes may be lost|held: '
clean
filled "$T/held.img" 102 4M || fail "a write that was held had an effect"
