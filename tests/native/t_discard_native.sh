#!/bin/bash
# Discards and zeroes: space comes back where it may, and contents are right everywhere.
# once
. tests/native/lib.sh
. tests/native/qemu_io.sh
need_vhost_user

# parts_are FILE NAME:BYTE:SIZE:OFFSET...
parts_are() {
	local file=$1 part name byte size offset
	shift
	for part; do
		IFS=: read -r name byte size offset <<<"$part"
		filled "$file" "$byte" "$size" "$offset" || fail "$file: $name has other bytes"
	done
}

# A file: what was discarded and zeroed is a hole, and only that.
file() { # IMAGE KEY=VALUE
	local img=$1
	fill "$img" 125 16M
	start_backend "$img" "$T/socket" "$2"
	io -c 'discard 2M 3M' -c flush
	is "KiB after a discard" "$(occupied "$img")" $((13 * 1024))
	io -c 'write -z 8M 2M' -c flush
	is "KiB after zeroing" "$(occupied "$img")" $((11 * 1024))
	# Not a whole block of the file: its neighbours stay.
	io -c 'write -z 12583424 1024' -c 'discard 13632000 8192' -c 'read -P 0 8M 2M' -c 'read -P 0 12583424 1024'
	stop_backend
	parts_are "$img" "what is before the discard:125:2M:0" "the discard:0:3M:2M" \
		"what is behind the discard:125:3M:5M" "the zeroes:0:2M:8M" \
		"what is behind the zeroes:125:2097664:10M" "two zeroed sectors:0:1024:12583424" \
		"what is behind two zeroed sectors:125:1047552:12584448" \
		"what is behind the unaligned discard:125:3137024:13640192"
	is "size of the image" "$(stat -c %s "$img")" 16777216
}

# discard = no: the image keeps every block that it has, and zeroes are zeroes all the same.
kept() { # IMAGE
	local img=$1
	fill "$img" 125 16M
	start_backend "$img" "$T/socket" discard=no
	io -c 'discard 0 1M' -c 'write -z 4M 4M' -c 'read -P 0 4M 4M' -c 'read -P 0x55 0 4M' -c 'read -P 0x55 8M 8M'
	stop_backend
	[ "$(occupied "$img")" -ge $((16 * 1024)) ] || fail "$(occupied "$img") KiB are left of 16 MiB"
	parts_are "$img" "the zeroes:0:4M:4M" "what was not discarded:125:4M:0"
	start_backend "$img" "$T/socket" discard=no write_zeroes=no
	io -c 'write -P 0x55 0 4M' -c 'write -z 1M 1M' -c 'read -P 0 1M 1M' -c 'read -P 0x55 2M 2M'
	stop_backend
}

# A block device, through the page cache and without it, with dirty pages in the way.
disk() { # CACHE
	local before
	fill "$DISK" 125 16M
	start_backend "$DISK" "$T/socket" discard=yes "cache=$1"
	before=$(occupied "$T/loop.img")
	io -c 'write -P 0x55 2M 4M' -c 'discard 2M 3M' -c flush
	is "KiB of the loop device after a discard, cache = $1" "$(occupied "$T/loop.img")" $((before - 3 * 1024))
	io -c 'read -P 0 2M 3M' -c 'write -P 0x55 8M 3M' -c 'write -z 8M 2M' -c 'write -z -u 14M 1M' -c 'read -P 0 8M 2M'
	stop_backend
	parts_are "$DISK" "what is before the discard:125:2M:0" "the discard:0:3M:2M" \
		"what is behind the discard:125:3M:5M" "the zeroes:0:2M:8M" \
		"what is behind the zeroes:125:4M:10M" "what was unmapped:0:1M:14M"
}

loop_fs ext4 64M
for img in "$(image tmpfs.img 16M)" "$(image ext4/disk.img 16M)"; do
	file "$img" cache=auto
	file "$img" cache=writethrough
	kept "$img"
done
loop_disk "$(image loop.img 16M)"
for cache in none writeback writethrough unsafe; do
	disk $cache
done
