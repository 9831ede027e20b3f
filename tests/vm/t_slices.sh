#!/bin/bash
# Slices of one store, and two servers: a part that the other one writes is refused, the rest is free.
# tests/native/t_slices.sh has what is written to them.
# once
. tests/vm/lib.sh

# slices STORE
slices() {
	serve <<-C
		[low]
		path = $1
		offset = 1M
		size = 6M
		[high]
		path = $1
		offset = 8M
		size = 7M
	C
	is "size of low" "$(blockdev --getsize64 "${NODE[low]}")" $((6 << 20))
	is "size of high" "$(blockdev --getsize64 "${NODE[high]}")" $((7 << 20))
	if dd if="${NODE[low]}" of=/dev/null bs=4k skip=6M iflag=skip_bytes,direct count=1 2>&1 | grep -q '^1+'; then
		fail "a read past the end"
	fi
	refused 1 'in use by another process' <<-C
		[other]
		path = $1
		offset = 6M
		size = 3M
	C
	refused 1 'in use by another process' <<-C
		[other]
		path = $1
		offset = 14M
		readonly = yes
	C
	stop
	quiet
	clean
}

img=$(image disk.img 16M)
slices "$img"
null_disk 16
slices "$DISK"

# A file can have slices of two servers; a block device is opened exclusively.
serve <<-C
	[first]
	path = $img
	size = 4M
C
set_aside
serve <<-C
	[second]
	path = $img
	offset = 4M
C
is "size to the end of the store" "$(blockdev --getsize64 "${NODE[second]}")" $((12 << 20))
stop
quiet
take_back
stop
quiet
clean
