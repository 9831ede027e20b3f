# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What tests of all tiers start with: serve, stop, and what a server said. A tier's lib.sh sources it,
# and says what settle_udev and lazy_umount do there.
#
# A test runs in a directory of its own ($T, removed afterwards), and passes (0), fails, or is skipped
# (77). $VDUSE_BLK is the program under test.
set -euo pipefail

VDUSE_BLK=${VDUSE_BLK:-$PWD/vduse-blk/vduse-blk}
T=$(mktemp -d "${TMPDIR:-/tmp}/vduse-blk.XXXXXX")
PATIENCE=60 # seconds, for all devices of a server to come, and to go
SERVER=
ASIDE=
AS=() # what the program under test is run by, as in AS=(setpriv --reuid=nobody)
DEFERRED=()
# shellcheck disable=SC2034 # the tests use it
declare -A NODE=()

say() {
	echo "    $*"
}

fail() {
	echo "    FAIL: $*" >&2
	if [ -s "$T/err" ]; then
		echo "    the server said:" >&2
		sed 's/^/    | /' "$T/err" | tail -n 30 >&2
	fi
	[ -z "$SERVER" ] || show_state >&2
	exit 1
}

# Where requests are, as the server and the driver see it.
show_state() {
	echo "    its state:"
	{
		timeout 10 "$VDUSE_BLK" stats -c "$T/conf"
		grep . /sys/block/vd*/inflight
		ps -eo pid,etimes,time,stat,wchan:24,args | grep -v '\]$'
	} 2>/dev/null | sed 's/^/    | /'
}

skip() {
	echo "    skipped: $*"
	exit 77
}

# Like sleep, but without a process: in a virtual machine one costs 25 ms of CPU time.
exec {NEVER}<> <(:)
pause() {
	read -rt "$1" -u "$NEVER" || true
}

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
	local deadline=$((SECONDS + $1)) what=$2 n=0
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "no $what in time"
		pause 0.$((n++ < 10 ? 1 : 3))
	done
}

devices_printed() {
	[ "$(wc -l <"$T/out")" -ge "$1" ] || ! kill -0 "$SERVER"
}

# Starts the server with the configuration on standard input and waits until all its devices are
# usable: serve [DEVICES]. Sets SERVER and NODE[name].
serve() {
	cat >"$T/conf"
	start_server
}

# start_server [OPTION]...: with the configuration that is there
start_server() {
	local count name node
	count=$(grep -c '^\[' "$T/conf")
	if grep -q '^\[global\]' "$T/conf"; then count=$((count - 1)); fi
	: >"$T/out"
	"${AS[@]}" "$VDUSE_BLK" serve "$@" -c "$T/conf" >"$T/out" 2>"$T/err" &
	SERVER=$!
	wait_for "$PATIENCE" "device" devices_printed "$count"
	kill -0 "$SERVER" 2>/dev/null || fail "the server ended"
	NODE=()
	while read -r name node; do
		# shellcheck disable=SC2034 # the tests use it
		NODE[$name]=$node
	done <"$T/out"
}

# Lets serve() start a second server next to this one; take_back() makes the first one the server
# that stop(), quiet() and said() speak of. NODE is the caller's to save.
set_aside() {
	mkdir "$T/aside"
	mv "$T/conf" "$T/out" "$T/err" "$T/aside/"
	ASIDE=$SERVER SERVER=
}

take_back() {
	mv "$T/aside"/* "$T/"
	rmdir "$T/aside"
	SERVER=$ASIDE ASIDE=
}

# Wants the configuration on standard input to be refused: refused EXIT_STATUS PATTERN...
refused() {
	local want=$1 status=0 pattern
	shift
	cat >"$T/refused.conf"
	timeout 60 "${AS[@]}" "$VDUSE_BLK" serve -c "$T/refused.conf" >"$T/refused.out" 2>"$T/refused.err" ||
		status=$?
	[ "$status" -eq "$want" ] ||
		fail "status $status, not $want, from a server that had to refuse: $(cat "$T/refused.err")"
	[ ! -s "$T/refused.out" ] || fail "refused, but printed $(cat "$T/refused.out")"
	for pattern; do
		grep -qE -- "$pattern" "$T/refused.err" ||
			fail "the reason is not '$pattern': $(cat "$T/refused.err")"
	done
}

# One line, and none of a sanitizer: one_line FILE-WITH-STANDARD-ERROR
one_line() {
	is "number of lines on standard error ($(cat "$1"))" "$(wc -l <"$1")" 1
	! grep -qE 'ERROR: |runtime error' "$1" || fail "a sanitizer has something to say"
}

# Another server in the place of the running one, whose disks may be in use.
take_over() {
	local old=$SERVER status=0
	mv "$T/err" "$T/err.old"
	start_server --takeover
	wait "$old" || status=$?
	[ $status -eq 0 ] || fail "the server that was to leave ended with $status: $(cat "$T/err.old")"
}

# Asks the server to detach and wants it to end well: stop [EXIT_STATUS]
stop() {
	settle_udev
	kill -TERM "$SERVER"
	ended "$@"
}

# Wants the server to end by itself: ended [EXIT_STATUS]
ended() {
	local want=${1:-0} status=0
	wait_for "$PATIENCE" "end of the server" server_ended
	wait "$SERVER" || status=$?
	SERVER=
	[ "$status" -eq "$want" ] || fail "the server ended with status $status, not $want"
}

server_ended() {
	process_ended "$SERVER"
}

# No warning or error line from the server but those that match a pattern: quiet [PATTERN]. That a driver
# was unbound is what a test has done itself.
quiet() {
	if grep -E 'warning: |error: |ERROR: |WARNING: |runtime error' "$T/err" |
		grep -vE -- "${1:-^\$}|another program unbound its driver"; then
		fail "unexpected lines from the server"
	fi
}

said() {
	grep -qE -- "$1" "$T/err" || fail "the server did not say '$1'"
}

image() {
	truncate -s "$2" "$T/$1"
	chmod 600 "$T/$1"
	echo "$T/$1"
}

# What the server has: descriptors, mappings, resident memory in KiB.
fds() {
	find "/proc/$SERVER/fd" -mindepth 1 | wc -l
}

maps() {
	wc -l <"/proc/$SERVER/maps"
}

# Threads of a store, with their stacks, end when they have been idle for some seconds.
idle_threads_end() {
	wait_for 60 "end of idle store threads" no_store_threads
}

no_store_threads() {
	! grep -qx store "/proc/$SERVER/task"/*/comm
}

rss() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$SERVER/status"
}

# is WHAT GOT WANTED
is() {
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

# Does something at the end, whatever happens, last first: defer COMMAND [ARGUMENT]...
defer() {
	DEFERRED+=("$(printf '%q ' "$@")")
}

# Ends a process that a test started: defer reap PID
reap() {
	kill -KILL "$1" 2>/dev/null
}

# Has a process of ours ended, which may still wait for wait()? process_ended PID
process_ended() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null
}

# Fills a part of a file or a disk with one byte, in octal, and flushes it:
# fill FILE BYTE SIZE [SEEK]. fill_direct: past the page cache, without a flush.
fill() {
	xfs_io -c "pwrite -q -b 64k -S 0$2 ${4:-0} $3" -c fsync "$1"
}

fill_direct() {
	xfs_io -d -c "pwrite -q -b 64k -S 0$2 ${4:-0} $3" "$1"
}

# Has a part of a file or a disk this byte everywhere? filled FILE BYTE SIZE [SKIP]
filled() {
	perl -e '
		my ($path, $byte, $size, $skip) = @ARGV;
		my %unit = (K => 1 << 10, M => 1 << 20, G => 1 << 30);
		s/([KMG])$/* $unit{$1}/ and $_ = eval for $size, $skip;
		my $want = chr(oct $byte) x 65536;
		open my $file, "<:raw", $path or die "$path: $!\n";
		sysseek $file, $skip, 0 or die "$path: $!\n";
		while ($size > 0) {
			my $n = $size < 65536 ? $size : 65536;
			my $got = sysread $file, my $piece, $n;
			exit 1 if !$got || $piece ne substr $want, 0, $got;
			$size -= $got;
		}' "$1" "$2" "$3" "${4:-0}"
}

# What a file occupies, in KiB.
occupied() {
	echo $(($(stat -c %b "$1") / 2))
}

checksum() {
	md5sum <"$1"
}

# Random writes among reads, all verified afterwards: fio_verify FIO_OPTION..., which name the jobs.
fio_verify() {
	fio --ioengine=io_uring --direct=1 --rw=randrw --iodepth=64 --group_reporting \
		--bssplit=512/20:1536/15:4k/30:12k/15:64k/15:192k/3:1m/2 \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 "$@" >"$T/fio" 2>&1 ||
		fail "fio: $(cat "$T/fio")"
}

# The second signal, a second after the first, takes disks away that are in use.
end_server() {
	[ -n "$1" ] && kill -0 "$1" 2>/dev/null || return 0
	lazy_umount
	kill -TERM "$1" && sleep 1.2 && kill -TERM "$1" 2>/dev/null
	wait "$1"
}

finish() {
	local status=$? n
	trap - EXIT
	set +e
	end_server "$SERVER"
	end_server "$ASIDE"
	lazy_umount
	for ((n = ${#DEFERRED[@]} - 1; n >= 0; n--)); do
		eval "${DEFERRED[n]}"
	done
	rm -rf "$T"
	exit $status
}
trap finish EXIT
