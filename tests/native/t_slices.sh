#!/bin/bash
# Slices of one store: two disks write their parts at the same time, nothing lands in the other's
# part or outside. tests/vm/t_slices.sh has parts that another server writes.
# once
. tests/native/lib.sh
. tests/native/qemu_io.sh
need_vhost_user

mib=16

# sections STORE [NAME OFFSET SIZE [KEY=VALUE]]...: each argument behind STORE is a section, as words
sections() {
	local store=$1 words
	shift
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	for words; do
		read -ra words <<<"$words"
		disk_section "${words[0]}" "$store" "$T/${words[0]}.sock" "${words[@]:1}"
	done
}

# verified NAME...: libblkio writes and reads all of them at once
verified() {
	local name
	local -A pid=()
	for name; do
		"$TOOLS/blkio_verify" "$T/$name.sock" 1 8000 >"$T/client.$name" 2>&1 &
		pid[$name]=$!
	done
	for name; do
		wait "${pid[$name]}" || fail "$name: $(tail -n 3 "$T/client.$name")"
	done
}

size_of() {
	sed -n 's/.*size \([0-9]*\),.*/\1/p' "$T/client.$1"
}

# halves STORE: two slices with a gap before, between and behind
halves() {
	local store=$1
	fill "$store" 245 $((mib * 1048576))
	serve < <(sections "$store" "low offset=1M size=6M" "high offset=8M size=7M")
	verified low high
	is "size of low" "$(size_of low)" $((6 * 1048576))
	is "size of high" "$(size_of high)" $((7 * 1048576))
	IO_SOCKET=$T/low.sock
	io_refused -c 'read 6M 4k'
	IO_SOCKET=$T/high.sock io_checksum >"$T/high"
	IO_SOCKET=$T/low.sock io -c 'write -z 1M 5M' -c 'read -P 0 1M 5M'
	is "high after zeroing low" "$(IO_SOCKET=$T/high.sock io_checksum)" "$(cat "$T/high")"

	stop
	quiet

	filled "$store" 245 1M || fail "what lies before the slices has changed"
	filled "$store" 245 1M 7M || fail "what lies between the slices has changed"
	filled "$store" 245 1M 15M || fail "what lies behind the slices has changed"
	filled "$store" 0 5M 2M || fail "the zeroes are not where they belong"
	is "the high half" "$(dd if="$store" bs=1M skip=8 count=7 status=none | md5sum)" "$(cat "$T/high")"
}

img=$(image disk.img ${mib}M)
halves "$img"

# What nobody serves is free: next to a server's slice there is room for another server.
fill "$img" 245 $((mib * 1048576))
serve < <(sections "$img" "first size=4M")
set_aside
serve < <(sections "$img" "second offset=4M discard=yes")
verified second
is "size to the store's end" "$(size_of second)" $(((mib - 4) * 1048576))
IO_SOCKET=$T/second.sock io -c 'discard 0 12M' -c flush
stop
quiet
take_back
IO_SOCKET=$T/first.sock io -c 'read -P 0xa5 0 4M'
stop
quiet
is "space" "$(occupied "$img")" 4096

# Past the end of the store there is nothing to serve.
refused 1 'goes past the end' < <(sections "$img" "past offset=12M size=5M")
refused 1 'nothing to serve at that offset' < <(sections "$img" "past offset=${mib}M")

loop_disk "$(image loop.img ${mib}M)"
halves "$DISK"
