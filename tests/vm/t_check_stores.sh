#!/bin/bash
# check --stores while a server serves a file and two slices of a disk: it does not disturb them.
# once
. tests/vm/lib.sh

# check STATUS [OPTION]...: of $T/check.conf
check() {
	local status=0
	timeout 60 "$VDUSE_BLK" check "${@:2}" -c "$T/check.conf" >"$T/check.out" 2>"$T/check.err" || status=$?
	is "status of check ${*:2} ($(cat "$T/check.err"))" $status "$1"
}

img=$(image disk.img 64M)
null_disk 64
cat >"$T/conf" <<-C
	[file]
	path = $img
	[low]
	path = $DISK
	size = 16M
	[high]
	path = $DISK
	offset = 16M
	size = 16M
C
cp "$T/conf" "$T/check.conf"
check 0 --stores
start_server
mkfs.ext4 -q "${NODE[high]}"
mkdir "$T/mnt"
mount "${NODE[high]}" "$T/mnt"
fio_verify --size=16M --time_based --runtime=3 --name=file --filename="${NODE[file]}" --name=low --filename="${NODE[low]}" &
load=$!
for ((i = 0; i < 5; i++)); do
	check 0 --stores
	is "what it printed" "$(cat "$T/check.out" "$T/check.err")" "$T/check.conf: correct, and its stores too"
done
wait $load || fail "the load failed"
fds_before=$(fds)
take_over
is "number of descriptors" "$(fds)" "$fds_before"

# What a new configuration would add, and what it would get wrong.
printf '[new]\npath = %s\noffset = 128M\n[gone]\npath = %s\n' "$DISK" "$T/gone.img" >>"$T/check.conf"
check 0
check 1 --stores
grep -q "error: new: $DISK has 67108864 bytes: nothing to serve" "$T/check.err" || fail "$(cat "$T/check.err")"
grep -q "error: gone: cannot open $T/gone.img: No such file" "$T/check.err" || fail "$(cat "$T/check.err")"
is "lines" "$(wc -l <"$T/check.err")" 2
printf '[again]\npath = %s\n' "$T/./disk.img" >"$T/check.conf"
check 1 --stores
grep -q 'error: again: cannot open .* in use by another process: vduse-blk (process '"$SERVER" "$T/check.err" ||
	fail "$(cat "$T/check.err")"
umount "$T/mnt"
stop
quiet
clean

# A disk of which a file system is mounted.
mkfs.ext4 -q "$DISK"
mount "$DISK" "$T/mnt"
printf '[disk]\npath = %s\n' "$DISK" >"$T/check.conf"
check 1 --stores
grep -q "error: disk: cannot open $DISK: in use by another process" "$T/check.err" || fail "$(cat "$T/check.err")"
umount "$T/mnt"
check 0 --stores
