#!/bin/bash
# The disk's blocks are the store's, or larger ones that are asked for; what does not fit is refused
# with the reason; and memory at an odd address still carries the right data.
# once
. tests/native/lib.sh
. tests/native/qemu_io.sh
need_vhost_user

global() {
	printf '[global]\nruntime_dir = %s\n' "$T/run"
}

# refuses PATTERN PATH [KEY=VALUE]...
refuses() {
	refused 1 "$1" < <(global && disk_section odd "$2" "$T/odd.sock" "${@:3}")
}

loop_disk "$(image loop.img 16M)" --sector-size 4096
loop=$DISK
loop_disk "$(image cached_loop.img 16M)" --sector-size 4096
cached_loop=$DISK
loop_disk "$(image ext4.img 64M)" --sector-size 4096
mkdir "$T/ext4"
mkfs.ext4 -q "$DISK"
mount "$DISK" "$T/ext4"
declare -A STORE=([loop]=$loop [cached-loop]=$cached_loop [file]=$(image file.img 16M)
	[on-4k]=$(image ext4/direct.img 16M) [cached]=$(image ext4/cached.img 16M))
declare -A BLOCK=([loop]=4096 [cached-loop]=4096 [file]=4096 [on-4k]=4096 [cached]=512)

section() { # NAME [KEY=VALUE]...
	disk_section "$1" "${STORE[$1]}" "$T/$1.sock" queues=2 "${@:2}"
}

serve < <(
	global
	section loop
	section cached-loop cache=writeback
	section file logical_block_size=4096
	section on-4k
	section cached logical_block_size=512 cache=writeback
)
# Aligned buffers, and ones that begin inside a sector: then every piece of a request is copied.
for offset in 0 512 24; do
	for name in "${!STORE[@]}"; do
		client blkio_verify "$T/$name.sock" 2 3000 $offset
		grep -q "size 16777216, block ${BLOCK[$name]}\$" "$T/client" ||
			fail "the blocks of $name are not ${BLOCK[$name]} bytes: $(tail -n 1 "$T/client")"
	done
done
for name in "${!STORE[@]}"; do
	IO_SOCKET=$T/$name.sock io_checksum >"$T/$name.sum"
done
stop
quiet
for name in "${!STORE[@]}"; do
	is "the store of $name" "$(checksum "${STORE[$name]}")" "$(cat "$T/$name.sum")"
done

# too_small PATH SIZE [KEY=VALUE]...
too_small() {
	refuses "logical_block_size $2 is too small for $1, which needs blocks of 4096" "$1" "logical_block_size=$2" "${@:3}"
}
too_small "$loop" 512
too_small "$loop" 2048 cache=writeback
too_small "$cached_loop" 1024
too_small "${STORE[on-4k]}" 512 cache=none
grep -q 'with O_DIRECT' "$T/refused.err" || fail "the way out is not said: $(cat "$T/refused.err")"

# no_multiple SIZE BLOCK [KEY=VALUE]...
no_multiple() {
	refuses "size $1 .* must be multiples of the logical block of $2 bytes" "$(image odd.img "$1")" "${@:3}"
	rm "$T/odd.img"
}
no_multiple 1000001 512
no_multiple 1049088 4096 logical_block_size=4096
no_multiple 100 512
refuses 'has 0 bytes: nothing to serve' "$(image empty.img 0)"

# Single blocks at odd places, with neighbours that must stay.
img=$(image odd.img 1049088)
fill "$img" 252 1049088
start_backend "$img" "$T/socket"
io -c 'write -P 0x55 1048576 512' -c 'write -P 0x55 512 1536'
stop_backend
filled "$img" 125 512 1048576 || fail "the last sector differs"
filled "$img" 252 512 || fail "the first sector differs"
filled "$img" 125 1536 512 || fail "sectors 1 to 3 differ"
filled "$img" 252 1046528 2048 || fail "what was not written differs"
is "size of the image" "$(stat -c %s "$img")" 1049088
