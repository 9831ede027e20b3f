# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A file on FUSE, and its file server, which can be made to stall: fuse_store NAME SIZE makes $T/NAME.
# Threads that use the file wait meanwhile, and so does close().

FUSE_SERVER=

fuse_store() { # NAME SIZE
	local file=$T/$1
	[ -c /dev/fuse ] || skip "no FUSE here"
	truncate -s "$2" "$file.bytes"
	touch "$file"
	qemu-storage-daemon --blockdev "driver=file,node-name=bytes,filename=$file.bytes,cache.direct=off" \
		--export "type=fuse,id=fuse,node-name=bytes,mountpoint=$file,writable=on" 2>"$T/fuse.err" &
	FUSE_SERVER=$!
	defer fuse_store_ends "$file"
	wait_for "$PATIENCE" "FUSE file: $(cat "$T/fuse.err")" fuse_is_mounted "$file"
}

fuse_is_mounted() {
	[ "$(stat -f -c %t "$1" 2>/dev/null)" = 65735546 ]
}

fuse_stalls() {
	kill -STOP "$FUSE_SERVER"
}

fuse_goes_on() {
	kill -CONT "$FUSE_SERVER"
}

fuse_store_ends() { # FILE
	fuse_goes_on
	umount -l "$1" 2>/dev/null
	kill -TERM "$FUSE_SERVER"
	wait "$FUSE_SERVER"
}
