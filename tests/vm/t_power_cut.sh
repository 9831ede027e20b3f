#!/bin/bash
# Power is cut under a file system on a served disk: what was fsynced before is there, whatever the
# store made of the rest. Below the server dm-log-writes records what reached the store, and when;
# tests/vm/power_cuts makes of it what the store may have after a cut. With cache = unsafe the same
# check must fail. CUTS: how many of each kind (1)
# once
# expect-dmesg: EXT4-fs|JBD2
. tests/vm/lib.sh

cuts=${CUTS:-1}
seed=$RANDOM

remove_cut() {
	[ ! -e /dev/mapper/cut ] || dmsetup remove --retry cut
}

check_cut() {
	local status=0
	mount -o loop "$T/cut.img" "$T/cut" 2>"$T/mount" || { echo "$1: no mount: $(cat "$T/mount")"; return 1; }
	tests/vm/fsync_writer check "$T/cut" "${@:2}" 2>&1 | sed "s/^/$1: /"
	[ "${PIPESTATUS[0]}" -eq 0 ] || status=1
	umount "$T/cut"
	e2fsck -fn "$T/cut.img" >"$T/fsck" 2>&1 || { echo "$1: $(cat "$T/fsck")"; status=1; }
	return $status
}
export T
export -f check_cut

# Two writers that sync, and one that does not, on ext4 on the disk: write_files CACHE
write_files() {
	local name writers=()
	null_disk 32 # a new one: all zeroes
	dmsetup create cut --table "0 65536 log-writes $DISK $LOG_DISK"
	mkfs.ext4 -q -J size=4 /dev/mapper/cut
	serve <<-C
		[disk]
		path = /dev/mapper/cut
		cache = $1
	C
	mount "${NODE[disk]}" "$T/mnt"
	sync
	dmsetup message cut 0 mark begun:0
	for name in a b; do
		tests/vm/fsync_writer write "$T/mnt" $name 24 dmsetup message cut 0 mark &
		writers+=($!)
	done
	dd if=/dev/zero of="$T/mnt/unsynced" bs=64k count=64 conv=notrunc status=none
	for writer in "${writers[@]}"; do
		wait "$writer" || fail "a writer failed"
	done
	umount "$T/mnt"
	stop
	quiet
	remove_cut
}

cut_power() {
	truncate -s 32M "$T/cut.img"
	tests/vm/power_cuts "$LOG_DISK" "$T/cut.img" "$cuts" "$seed" bash -c 'check_cut "$@"' - >"$T/cuts" 2>&1
}

modprobe dm_mod
modprobe dm_log_writes
modprobe loop
null_disk 192
LOG_DISK=$DISK
defer remove_cut
mkdir "$T/mnt" "$T/cut"
for cache in none writeback writethrough; do
	write_files $cache
	cut_power || fail "cache = $cache, seed $seed: $(cat "$T/cuts")"
	say "cache = $cache: $(xargs <"$T/cuts")"
done
write_files unsafe
if cut_power; then
	fail "cache = unsafe, seed $seed: nothing is lost: this test shows nothing: $(cat "$T/cuts")"
fi
grep -qE 'is lost|older than' "$T/cuts" || fail "cache = unsafe: not a lost file: $(cat "$T/cuts")"
say "cache = unsafe: $(grep -m1 -E 'is lost|older than' "$T/cuts"), $(tail -n 1 "$T/cuts")"
clean
