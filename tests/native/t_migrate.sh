#!/bin/bash
# A running guest migrates between two QEMUs on one host, there and back, under verified writes to the
# disk raw and to a mounted file system. Each QEMU has a server of its own for the same images.
# TRIPS: round trips (2)
# deadline: 1800
. tests/native/lib.sh
. tests/native/guest.sh
need_vhost_user

trips=${TRIPS:-2}

# The server of one side: side_start NAME; SIDE_PID has its process.
declare -A SIDE_PID=()
side_start() {
	local conf=$T/$1.conf
	{
		printf '[global]\nruntime_dir = %s\n' "$T/run-$1"
		disk_section raw "$raw" "$T/$1-raw.socket" queues=2
		disk_section fs "$fs" "$T/$1-fs.socket" queues=1
	} >"$conf"
	"$VDUSE_BLK" serve -c "$conf" >"$T/$1.out" 2>"$T/$1.err" &
	SIDE_PID[$1]=$!
	defer reap ${SIDE_PID[$1]}
	wait_for "$PATIENCE" "server $1" test -S "$T/$1-fs.socket"
	wait_for "$PATIENCE" "server $1" test -S "$T/$1-raw.socket"
}

side_guest() { # NAME [QEMU-OPTION]...
	local options=()
	disk_options raw "$T/$1-raw.socket" 2
	options+=("${DISK[@]}")
	disk_options fs "$T/$1-fs.socket" 1
	options+=("${DISK[@]}")
	start_guest "$1" "${options[@]}" "${@:2}"
}

side_said_nothing() {
	if grep -E 'warning: |error: |ERROR: |runtime error' "$T/$1.err"; then
		fail "unexpected lines from the server of $1"
	fi
}

side_stop() {
	local status=0
	kill -TERM "${SIDE_PID[$1]}"
	wait_for "$PATIENCE" "end of the server" process_ended "${SIDE_PID[$1]}"
	wait "${SIDE_PID[$1]}" || status=$?
	[ $status -eq 0 ] || fail "the server of $1 ended with $status: $(cat "$T/$1.err")"
	side_said_nothing "$1"
}

migrated() {
	local status
	status=$(tell_qmp "$1" query-migrate | jq -r '.return.status')
	[ "$status" != failed ] || guest_failed "$1" "migration: $(tell_qmp "$1" query-migrate)"
	[ "$status" = completed ]
}

# migrate FROM TO: TO is a new QEMU, which waits for it; FROM ends.
migrate() {
	side_guest "$2" -incoming "unix:$T/migration.socket"
	wait_for "$PATIENCE" "migration socket" test -S "$T/migration.socket"
	tell_qmp "$1" migrate '{"uri": "unix:'"$T/migration.socket"'"}' >/dev/null
	wait_for 300 "end of the migration" migrated "$1"
	quit_guest "$1"
	rm -f "$T/migration.socket"
	echo "$1 to $2: $(in_guest "$2" "cat /tmp/raw.passes")" >>"$T/trips"
	still_well "$2"
}

still_well() {
	in_guest "$1" "[ ! -e /tmp/raw.ended ] && [ ! -e /tmp/fs.ended ]" >/dev/null
}

# Without end, in the guest: verified passes over the disk raw, and files on ext4 that are read back.
start_load() {
	in_guest "$1" "mkfs.ext4 -q /dev/vdb && mount -t ext4 /dev/vdb /mnt" >/dev/null
	in_guest "$1" "(n=0; until [ -e /tmp/enough ]; do
		n=\$((n + 1));
		$FIO --name=raw --filename=/dev/vda --bsrange=4k-64k --size=4m --numjobs=2 --offset_increment=16m --randseed=\$n >/tmp/raw.log 2>&1 || break;
		echo \$n >/tmp/raw.passes;
		done; [ -e /tmp/enough ]; echo \$? >/tmp/raw.ended) &" >/dev/null
	in_guest "$1" "(n=0; until [ -e /tmp/enough ]; do
		n=\$((n + 1));
		dd if=/dev/urandom of=/tmp/file bs=64k count=20 2>/dev/null && cp /tmp/file /mnt/\$n && sync && echo 3 >/proc/sys/vm/drop_caches && cmp /tmp/file /mnt/\$n >/tmp/fs.log 2>&1 || break;
		[ \$n -le 8 ] || rm /mnt/\$((n - 8));
		echo \$n >/tmp/fs.passes;
		done; [ -e /tmp/enough ]; echo \$? >/tmp/fs.ended) &" >/dev/null
	in_guest "$1" "until [ -s /tmp/raw.passes ] && [ -s /tmp/fs.passes ]; do sleep 0.1; done" >/dev/null
}

end_load() {
	in_guest "$1" "touch /tmp/enough; until [ -s /tmp/raw.ended ] && [ -s /tmp/fs.ended ]; do sleep 0.1; done" >/dev/null
	is "end of the writers" "$(in_guest "$1" "cat /tmp/raw.ended /tmp/fs.ended" | tr '\n' ' ')" "0 0 "
	say "$(in_guest "$1" "cat /tmp/raw.passes") passes of fio, $(in_guest "$1" "cat /tmp/fs.passes") files"
	in_guest "$1" "umount /mnt" >/dev/null
}

raw=$(image raw.img 64M)
fs=$(image fs.img 128M)
side_start a
side_start b
side_guest a
ready a
start_load a
for ((n = 0; n < trips; n++)); do
	migrate a b
	migrate b a
done
end_load a
end_guest a
side_stop a
side_stop b
e2fsck -fn "$fs" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
say "$trips round trips"
