#!/bin/bash
# The disk's blocks are the store's, or larger ones that are asked for; what does not fit is refused
# with the reason; and memory that suits nobody still carries the right data.
# once
# expect-dmesg: operation not supported error, dev loop.*WRITE_ZEROES
. tests/vm/lib.sh

blocks_4k='--bssplit=4k/60:20k/20:64k/15:1m/5'

logical() {
	sysfs "${NODE[$1]}" queue/logical_block_size
}

# Loop devices: null_blk with blocks of 4 KiB reads zeroes into a segment that begins inside a block
# (6.12 and 7.2; Linux 7 accepts such memory for direct I/O, 6.12 refuses it).
loop_disk "$(image disk.img 16M)" --sector-size 4096
disk=$DISK
loop_disk "$(image loop.img 16M)" --sector-size 4096
loop=$DISK
loop_disk "$(image ext4.img 48M)" --sector-size 4096
mkdir "$T/ext4"
mkfs.ext4 -q "$DISK"
mount "$DISK" "$T/ext4"

serve <<-C
	[disk]
	path = $disk
	[loop]
	path = $loop
	cache = writeback
	[file]
	path = $(image file.img 16M)
	logical_block_size = 4096
	[on-4k]
	path = $(image ext4/direct.img 16M)
	[cached]
	path = $(image ext4/cached.img 16M)
	logical_block_size = 512
	cache = writeback
C
is "logical block of a 4k disk" "$(logical disk)" 4096
is "logical block of a 4k loop device" "$(logical loop)" 4096
is "logical block of a file that is told so" "$(logical file)" 4096
is "logical block of a file that O_DIRECT can only reach so" "$(logical on-4k)" 4096
is "logical block through the page cache" "$(logical cached)" 512
# Buffers begin 512 bytes behind a page's begin, so every request is cut where no block ends.
jobs=()
for name in disk loop file on-4k; do
	jobs+=(--name=$name --filename="${NODE[$name]}" --iomem_align=512 $blocks_4k)
	jobs+=(--name=$name-pages --filename="${NODE[$name]}" --offset=8M $blocks_4k)
done
fio_verify --size=4M --name=cached --filename="${NODE[cached]}" "${jobs[@]}"
for name in disk loop file on-4k cached; do
	checksum "${NODE[$name]}" >"$T/$name.sum"
	if [ $name != cached ] && dd if="${NODE[$name]}" of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null; then
		fail "$name took a request of 512 bytes"
	fi
done
stop
quiet
clean
for pair in disk:"$disk" loop:"$T/loop.img" file:"$T/file.img" on-4k:"$T/ext4/direct.img" cached:"$T/ext4/cached.img"; do
	is "the store of ${pair%%:*}" "$(checksum "${pair#*:}")" "$(cat "$T/${pair%%:*}.sum")"
done

# too_small PATH SIZE [LINE]
too_small() {
	printf '[small]\npath = %s\nlogical_block_size = %s\n%s\n' "$1" "$2" "${3-}" >"$T/small"
	refused 1 "logical_block_size $2 is too small for $1, which needs blocks of 4096" <"$T/small"
	clean
}
too_small "$disk" 512
too_small "$disk" 2048 'cache = writeback'
too_small "$loop" 1024
too_small "$T/ext4/direct.img" 512 'cache = none'
grep -q 'with O_DIRECT' "$T/refused.err" || fail "the way out is not said: $(cat "$T/refused.err")"

# no_multiple SIZE BLOCK [LINE]
no_multiple() {
	printf '[odd]\npath = %s\n%s\n' "$(image odd.img "$1")" "${3-}" >"$T/odd"
	refused 1 "size $1 .* must be multiples of the logical block of $2 bytes" <"$T/odd"
	clean
	rm "$T/odd.img"
}
no_multiple 1000001 512
no_multiple 1049088 4096 'logical_block_size = 4096'
no_multiple 100 512
refused 1 'has 0 bytes: nothing to serve' <<-C
	[empty]
	path = $(image empty.img 0)
C

# Single blocks at odd places, with neighbours that must stay.
serve <<-C
	[odd]
	path = $(image odd.img 1049088)
C
fill "$T/odd.img" 252 1049088
fill "${NODE[odd]}" 125 512 1048576
fill "${NODE[odd]}" 125 1536 512
stop
quiet
clean
filled "$T/odd.img" 125 512 1048576 || fail "the last sector differs"
filled "$T/odd.img" 252 512 || fail "the first sector differs"
filled "$T/odd.img" 125 1536 512 || fail "sectors 1 to 3 differ"
filled "$T/odd.img" 252 1046528 2048 || fail "what was not written differs"
is "size of the image" "$(stat -c %s "$T/odd.img")" 1049088
