#!/bin/bash
# Disks on four kinds of stores, one of which stalls now and then, while the server is killed, taken
# over, and single disks come and go: the other disks are served all the while, and nothing is lost.
# DISKS: how many (8). ROUNDS: how often a store stalls (4). SLOWEST_MS: what a request of the other
# disks may take while a store stalls and the server is left alone (not checked)
# deadline: 600
# on request
. tests/vm/lib.sh

disks=${DISKS:-8}
rounds=${ROUNDS:-4}

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

# A writer for each disk: blocks with a counter, each read again, some of them flushed.
cat >"$T/writer" <<-'P'
	import os, sys, time, mmap
	path, log, stop = sys.argv[1:]
	fd = os.open(path, os.O_RDWR | os.O_DIRECT)
	page = mmap.mmap(-1, 4096)
	n, slowest = 0, 0.0
	while not os.path.exists(stop):
	    at = n * 37 % 1024 * 4096
	    page[:] = (b"%016d" % n) * 256
	    start = time.monotonic()
	    os.pwritev(fd, [page], at)
	    if n % 8 == 0:
	        os.fdatasync(fd)
	    page[:] = b"x" * 4096
	    os.preadv(fd, [page], at)
	    took = time.monotonic() - start
	    if page[:] != (b"%016d" % n) * 256:
	        sys.exit("%s: block %d has not what was written" % (path, n))
	    n += 1
	    slowest = max(slowest, took)
	    if os.path.exists(log + ".new"):
	        os.unlink(log + ".new")
	        slowest = 0.0
	    with open(log, "w") as out:
	        out.write("%d %d\n" % (n, slowest * 1000))
	    time.sleep(0.05)
	# All that is left must be the last that was written to each place.
	for m in range(max(0, n - 1024), n):
	    os.preadv(fd, [page], m * 37 % 1024 * 4096)
	    if page[:] != (b"%016d" % m) * 256:
	        sys.exit("%s: block %d is lost" % (path, m))
P
writers=()
for ((n = 0; n < disks; n++)); do
	python3 "$T/writer" "${NODE[d$n]}" "$T/log$n" "$T/stop" 2>"$T/writer$n" &
	writers+=($!)
done

count() {
	cut -d' ' -f1 "$T/log$1" 2>/dev/null || echo 0
}

# The others have each done some more requests: progress, from the counts in before[]
progress() {
	local n
	for ((n = 0; n < disks; n++)); do
		[ $((n % 4)) -eq 0 ] || [ "$(count $n)" -gt $((before[n] + 2)) ] || return 1
	done
}

others_go_on() {
	local n
	before=()
	for ((n = 0; n < disks; n++)); do
		before[n]=$(count $n)
	done
	wait_for 120 "progress of the disks whose stores do not stall ($1)" progress
}

new_server() {
	"$VDUSE_BLK" serve "$@" -c "$T/conf" >"$T/out" 2>>"$T/err" &
	SERVER=$!
}

others_go_on "at first"
for ((round = 0; round < rounds; round++)); do
	fsfreeze --freeze "$T/stalls"
	frozen=true
	sleep 1
	touch $(seq -f "$T/log%g.new" 0 $((disks - 1)))
	others_go_on "store frozen"
	sleep 1
	for ((n = 0; n < disks; n++)); do
		[ $((n % 4)) -eq 0 ] || cut -d' ' -f2 "$T/log$n"
	done >>"$T/slowest"
	if [ $((round % 2)) -eq 0 ]; then
		kill -KILL "$SERVER"
		disown "$SERVER"
		new_server
		others_go_on "killed and started again, store frozen"
	else
		old=$SERVER
		new_server --takeover
		others_go_on "taken over, store frozen"
	fi
	thaw
	if [ $((round % 2)) -eq 1 ]; then
		wait_for 60 "end of the old server" test ! -e "/proc/$old"
	fi
	before=()
	for ((n = 0; n < disks; n++)); do
		before[n]=$(count $n)
	done
	all_go_on() {
		local n
		for ((n = 0; n < disks; n++)); do
			[ "$(count $n)" -gt $((before[n] + 2)) ] || return 1
		done
	}
	wait_for 120 "progress of all disks after the thaw" all_go_on
done
slowest=$(sort -n "$T/slowest" | tail -n 1)
say "the slowest request of a disk beside a stalled store: $slowest ms ($rounds rounds, $disks disks)"
[ -z "${SLOWEST_MS-}" ] || [ "$slowest" -le "$SLOWEST_MS" ] || fail "that is more than $SLOWEST_MS ms"

touch "$T/stop"
for ((n = 0; n < disks; n++)); do
	wait "${writers[n]}" || fail "writer $n: $(cat "$T/writer$n")"
done
stop
clean
