#!/bin/bash
# Slices of one store: two disks write their halves at the same time, nothing lands in the other's
# half or outside, and a part that another server writes is refused.
# once
. tests/vm/lib.sh

mib=16

# halves STORE: two slices with a gap before, between and behind
halves() {
	local store=$1 low high
	fill "$store" 245 $((mib * 1048576))
	serve <<-C
		[low]
		path = $store
		offset = 1M
		size = 6M
		[high]
		path = $store
		offset = 8M
		size = 7M
	C
	low=${NODE[low]} high=${NODE[high]}
	is "size of low" "$(blockdev --getsize64 "$low")" $((6 * 1048576))
	is "size of high" "$(blockdev --getsize64 "$high")" $((7 * 1048576))
	fio_verify --size=6M --name=low --filename="$low" --name=high --filename="$high" --size=7M
	if dd if="$low" of=/dev/null bs=4k skip=6M iflag=skip_bytes,direct count=1 2>&1 | grep -q '^1+'; then
		fail "a read past the end"
	fi
	checksum "$low" >"$T/low"
	checksum "$high" >"$T/high"
	blkdiscard -z --offset 1M --length 5M "$low"
	filled "$low" 0 5M 1M || fail "low is not zero"
	is "high after zeroing low" "$(checksum "$high")" "$(cat "$T/high")"

	refused 1 'in use by another process' <<-C
		[other]
		path = $store
		offset = 6M
		size = 3M
	C
	refused 1 'in use by another process' <<-C
		[other]
		path = $store
		offset = 14M
		readonly = yes
	C
	stop
	quiet
	clean

	filled "$store" 245 1M || fail "what lies before the slices has changed"
	filled "$store" 245 1M 7M || fail "what lies between the slices has changed"
	filled "$store" 245 1M 15M || fail "what lies behind the slices has changed"
	filled "$store" 0 5M 2M || fail "the zeroes are not where they belong"
	is "the high half" "$(dd if="$store" bs=1M skip=8 count=7 status=none | md5sum)" "$(cat "$T/high")"
}

img=$(image disk.img ${mib}M)
halves "$img"

# What nobody serves is free: next to a server's slice there is room for another server.
serve <<-C
	[first]
	path = $img
	size = 4M
C
first=${NODE[first]}
set_aside
serve <<-C
	[second]
	path = $img
	offset = 4M
C
is "size to the store's end" "$(blockdev --getsize64 "${NODE[second]}")" $(((mib - 4) * 1048576))
blkdiscard "${NODE[second]}"
stop
quiet
take_back
filled "$first" 245 1M || fail "a discard of one slice reached another"
stop
quiet
clean
# 4 MiB less the zeroes, which are holes.
is "space" "$(occupied "$img")" 2048

# Past the end of the store there is nothing to serve.
refused 1 'goes past the end' <<-C
	[past]
	path = $img
	offset = 12M
	size = 5M
C
refused 1 'nothing to serve at that offset' <<-C
	[past]
	path = $img
	offset = ${mib}M
C

null_disk $mib
halves "$DISK"
