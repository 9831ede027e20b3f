#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Disks on four kinds of stores, one of which stalls again and again. While it stalls the server is killed,
# taken over, reloaded, or told to detach. The disks on the other stores are served all the while, and
# no disk loses what was written to it.
# DISKS: how many (8). ROUNDS: how often the store stalls (4). ACTIONS: what is done then, in this order
# (kill_server take_over reload detach), and after that at random by SEED.
# SLOWEST_MS: what a request of another disk may take while the store stalls and the server is left
# alone (not checked)
# deadline: 600
# on request
. tests/vm/lib.sh

disks=${DISKS:-8}
rounds=${ROUNDS:-4}
RANDOM=${SEED:-1}

modprobe dm_mod
frozen=false

# Two file systems, one of which gets frozen; a tmpfs is there ($T); and dm devices on a disk in memory.
make_fs() {
	null_disk 512
	mkfs.ext4 -q "$DISK"
	mkdir "$T/$1"
	mount "$DISK" "$T/$1"
}

thaw() {
	$frozen || return 0
	fsfreeze --unfreeze "$T/stalls"
	frozen=false
}

make_fs stalls
defer thaw
make_fs calm
null_disk $((disks * 8))
for ((n = 3; n < disks; n += 4)); do
	dmsetup create "dm$n" --table "0 8192 linear $DISK $((n * 8192))"
	defer dmsetup remove --retry "dm$n"
done

store_of() {
	case $(($1 % 4)) in
	0) image "stalls/$1.img" 4M ;;
	1) image "calm/$1.img" 4M ;;
	2) image "$1.img" 4M ;;
	3) echo "/dev/mapper/dm$1" ;;
	esac
}

{
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	for ((n = 0; n < disks; n++)); do
		printf '[d%s]\npath = %s\nqueues = 1\nqueue_size = 64\numem = off\n' $n "$(store_of $n)"
	done
} >"$T/conf"
start_server

# A writer for each disk: blocks with a counter, each read again, some of them flushed. It goes on where the
# writer before it has stopped, and first wants to read all that was written last.
cat >"$T/writer" <<-'P'
	import os, sys, time, mmap
	path, log, stop, pause = sys.argv[1:]
	fd = os.open(path, os.O_RDWR | os.O_DIRECT)
	page = mmap.mmap(-1, 4096)

	def check(n):
	    page[:] = b"x" * 4096
	    os.preadv(fd, [page], n * 37 % 1024 * 4096)
	    if page[:] != (b"%016d" % n) * 256:
	        sys.exit("%s: block %d has not what was written, but %s" % (path, n, page[:16]))

	def check_all(n):
	    for m in range(max(0, n - 1024), n):
	        check(m)

	n, slowest = 0, 0.0
	if os.path.exists(log):
	    n = int(open(log).read().split()[0])
	    check_all(n)
	while not os.path.exists(stop):
	    page[:] = (b"%016d" % n) * 256
	    start = time.monotonic()
	    os.pwritev(fd, [page], n * 37 % 1024 * 4096)
	    if n % 8 == 0:
	        os.fdatasync(fd)
	    check(n)
	    took = time.monotonic() - start
	    n += 1
	    slowest = max(slowest, took)
	    if os.path.exists(log + ".new"):
	        os.unlink(log + ".new")
	        slowest = 0.0
	    with open(log + ".part", "w") as out:
	        out.write("%d %d\n" % (n, slowest * 1000))
	    os.rename(log + ".part", log)
	    time.sleep(float(pause))
	check_all(n)
P
pause=$((disks / 100)).$(printf '%02d' $((disks % 100)))
writers=()

start_writer() {
	python3 "$T/writer" "${NODE[d$1]}" "$T/log$1" "$T/stop$1" "$pause" 2>"$T/writer$1" &
	writers[$1]=$!
}

# stop_writers DISK...
stop_writers() {
	local n
	for n; do
		touch "$T/stop$n"
	done
	for n; do
		wait "${writers[n]}" || fail "writer $n: $(cat "$T/writer$n")"
		rm "$T/stop$n"
	done
}

count() {
	cut -d' ' -f1 "$T/log$1" 2>/dev/null || echo 0
}

calm=() stalling=()
for ((n = 0; n < disks; n++)); do
	if [ $((n % 4)) -eq 0 ]; then stalling+=("$n"); else calm+=("$n"); fi
	start_writer $n
done

# progress DISK...: each has done some more requests than before[] says
progress() {
	local n
	for n; do
		kill -0 "${writers[n]}" 2>/dev/null || fail "writer $n has ended: $(cat "$T/writer$n")"
		[ "$(count "$n")" -gt $((before[n] + 2)) ] || return 1
	done
}

# go_on WHEN DISK...
go_on() {
	local n
	before=()
	for n in "${@:2}"; do
		before[n]=$(count "$n")
	done
	wait_for 180 "progress of disks ($1)" progress "${@:2}"
}

new_server() {
	"$VDUSE_BLK" serve "$@" -c "$T/conf" >"$T/out" 2>>"$T/err" &
	SERVER=$!
}

gone() {
	local n
	for n; do
		[ ! -e "${NODE[d$n]}" ] || return 1
	done
}

kill_server() {
	kill -KILL "$SERVER"
	disown "$SERVER" 2>/dev/null || true # that of a reload is no child
	new_server
	go_on "round $round: killed and started again, store stalls" "${calm[@]}"
	thaw
}

take_over() {
	local old=$SERVER
	new_server --takeover
	go_on "round $round: taken over, store stalls" "${calm[@]}"
	thaw
	wait_for 120 "end of the old server" test ! -e "/proc/$old/exe"
	wait "$old" || [ $? -eq 127 ] || fail "the old server ended with status $?" # 127: no child
}

reload() {
	local old=$SERVER
	timeout 120 "$VDUSE_BLK" serve --takeover --background -c "$T/conf" >"$T/out" 2>>"$T/err" ||
		fail "the reload ended with status $?"
	SERVER=$(pidof -o "$old" vduse-blk) || fail "there is no new server"
	go_on "round $round: reloaded, store stalls" "${calm[@]}"
	thaw
	wait_for 120 "end of the old server" test ! -e "/proc/$old/exe"
}

# The writers of the stalling disks keep these in use until the store is back.
detach() {
	stop_writers "${calm[@]}"
	kill -TERM "$SERVER"
	wait_for 180 "end of the calm disks, store stalls" gone "${calm[@]}"
	thaw
	go_on "round $round: the others are detached" "${stalling[@]}"
	stop_writers "${stalling[@]}"
	wait_for 180 "end of the server" test ! -e "/proc/$SERVER/exe"
	start_server
	for ((n = 0; n < disks; n++)); do
		start_writer $n
	done
}

go_on "at first" "${calm[@]}" "${stalling[@]}"
read -ra actions <<<"${ACTIONS:-kill_server take_over reload detach}"
for ((round = 0; round < rounds; round++)); do
	fsfreeze --freeze "$T/stalls"
	frozen=true
	sleep 1
	for n in "${calm[@]}"; do
		touch "$T/log$n.new"
	done
	go_on "round $round: store stalls" "${calm[@]}"
	sleep $((RANDOM % 3))
	for n in "${calm[@]}"; do
		cut -d' ' -f2 "$T/log$n"
	done >>"$T/slowest"
	next=$round
	[ $round -lt ${#actions[@]} ] || next=$((RANDOM % ${#actions[@]}))
	"${actions[next]}"
	say "round $round: ${actions[next]}"
	go_on "round $round: store is back" "${calm[@]}" "${stalling[@]}"
done
slowest=$(sort -n "$T/slowest" | tail -n 1)
say "the slowest request of a disk beside a stalled store: $slowest ms ($rounds rounds, $disks disks)"
[ -z "${SLOWEST_MS-}" ] || [ "$slowest" -le "$SLOWEST_MS" ] || fail "that is more than $SLOWEST_MS ms"

stop_writers "${calm[@]}" "${stalling[@]}"
settle_udev
kill -TERM "$SERVER"
wait_for 180 "end of the server" test ! -e "/proc/$SERVER/exe"
SERVER=
clean
