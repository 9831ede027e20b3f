#!/bin/bash
# Another user may read an image, and waits for a read lock until the server closes the image: a
# takeover, and a start after a crash, serve the disk all the same. The log names a program that has the
# image open for writing.
# once
. tests/vm/lib.sh

img=$(image disk.img 32M)
chmod 755 "$T"
chmod 644 "$img"
rival=
cat >"$T/rival.pl" <<'P'
	use Fcntl;
	my ($path, $mode, $held) = @ARGV;
	open my $f, $mode, $path or die "$path: $!\n";
	# F_OFD_SETLKW of a read lock on all of it: type, whence, start, length, process
	my $lock = pack("s s x4 q q i x4", F_RDLCK, 0, 0, 0, 0);
	fcntl $f, 38, $lock or die "lock: $!\n";
	open my $h, ">", $held or die "$held: $!\n";
	close $h;
	sleep 600;
P
mkdir "$T/held"
chmod 777 "$T/held"

# rival_waits USER MODE
rival_waits() {
	rm -f "$T/held/lock"
	setpriv --reuid="$1" --regid="$1" --clear-groups perl "$T/rival.pl" "$img" "$2" "$T/held/lock" &
	rival=$!
	wait_for 20 "lock that is waited for" waits
}

waits() {
	[ -e "$T/held/lock" ] || grep -q -- '-> OFDLCK' /proc/locks
}

rival_ends() {
	kill "$rival"
	wait "$rival" 2>/dev/null || true
}

config() {
	printf '[data]\npath = %s\n' "$img"
}

serve < <(config)
said 'can be opened by any user .* chmod go-rw'
mkfs.ext4 -q "${NODE[data]}"
mkdir "$T/mnt"
mount "${NODE[data]}" "$T/mnt"

rival_waits 65534 '<'
take_over
wait_for 20 "lock of the other user" test -e "$T/held/lock"
said "cannot be locked for this server alone, since perl \(process $rival, user 65534\)"
date >"$T/mnt/date"
timeout 20 sync -f "$T/mnt" || fail "the disk is not served after a takeover"

kill -KILL "$SERVER"
wait "$SERVER" 2>/dev/null || true
start_server
said "cannot be locked for this server alone, since perl \(process $rival, user 65534\)"
timeout 20 sync -f "$T/mnt" || fail "the disk is not served after a crash"
rival_ends

umount "$T/mnt"
stop
quiet 'cannot be locked for this server alone'
clean
e2fsck -fn "$img" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"

# Read locks only, but it could write.
rival_waits 0 '+<'
refused 1 "in use by another process: perl \(process $rival\) has it open for writing" < <(config)
rival_ends
