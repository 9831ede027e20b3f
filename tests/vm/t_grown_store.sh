#!/bin/bash
# A volume is extended or reduced while its disk has no server: the disk keeps its size until it is
# attached again; a volume that has shrunk is refused, with both sizes in the log.
# once
. tests/vm/lib.sh

# resize SECTORS
resize() {
	dmsetup suspend volume
	dmsetup load volume --table "0 $1 linear $DISK 0"
	dmsetup resume volume
}

config() {
	printf '[data]\npath = /dev/mapper/volume\n'
}

killed() {
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null || true
}

modprobe dm_mod
null_disk 64
dmsetup create volume --table "0 65536 linear $DISK 0"
defer dmsetup remove --retry volume
serve < <(config)
mkfs.ext4 -q "${NODE[data]}"
mkdir "$T/mnt"
mount "${NODE[data]}" "$T/mnt"

killed
resize 98304
dd if=/dev/urandom of="$T/mnt/file" bs=64k count=64 status=none & # waits for a server
writer=$!
start_server
said 'data: /dev/mapper/volume has grown from 33554432 to 50331648 bytes; the disk keeps 33554432 until'
wait $writer || fail "the writer saw an error"
timeout 20 sync -f "$T/mnt" || fail "the disk is not served"
is "size of the disk" "$(blockdev --getsize64 "${NODE[data]}")" 33554432
take_over
is "size after a takeover" "$(blockdev --getsize64 "${NODE[data]}")" 33554432

killed
resize 32768
refused 1 'error: data: is attached already, and cannot be adopted: /dev/mapper/volume has shrunk: the disk has 33554432 bytes, and the store has only 16777216 for it' < <(config)
resize 98304
start_server
timeout 20 sync -f "$T/mnt" || fail "the disk is not served"
umount "$T/mnt"
stop
quiet
clean

serve < <(config)
is "size when it is attached anew" "$(blockdev --getsize64 "${NODE[data]}")" 50331648
stop
quiet
clean
e2fsck -fn /dev/mapper/volume >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
