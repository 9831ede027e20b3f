#!/bin/bash
# An error of the store reaches the program that sent the request. The log has the error's name, in one
# line and a count for thousands. Other disks do not notice; when the store recovers, so does the disk.
# expect-dmesg: error, dev (vd|dm)|(print_req|buffer_io)_error|Buffer I/O error on dev
# once
. tests/vm/lib.sh

mib=1048576

# errors NAME: lines in the log about requests of this device that failed
errors() {
	grep -cE "error: $1: queue [0-9]+: " "$T/err" || true
}

# A write that must fail as a broken disk does: write_fails NODE OFFSET
write_fails() {
	if fill_direct "$1" 101 65536 "$2" >"$T/dd" 2>&1; then
		fail "a write to $1 succeeded that cannot"
	fi
	grep -q 'Input/output error' "$T/dd" || fail "not EIO: $(cat "$T/dd")"
}

# No space, with nothing else going on; another disk in the same process works hard meanwhile.
mkdir "$T/small"
mount -t tmpfs -o size=8M tmpfs "$T/small"
fill "$(image small/ballast 4M)" 101 $((4 * mib))
serve <<-C
	[full]
	path = $(image small/disk.img 32M)
	queues = 1
	[other]
	path = $(image other.img 24M)
C
full=${NODE[full]} other=${NODE[other]}
fill "$full" 102 $mib
fill_direct "$full" 102 $((6 * mib)) $mib >"$T/dd" 2>&1 && fail "6 MiB fit where 3 are left"
write_fails "$full" $((16 * mib))
said 'error: full: queue 0: write of [0-9]+ bytes at [0-9]+: No space left on device'
began=$SECONDS
echo 2 >"/sys/block/${full#/dev/}/queue/nomerges"
fio_verify --size=24M --name=other --filename="$other" &
pid=$!
LC_ALL=C fio --name=full --filename="$full" --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k \
	--offset=16M --iodepth=64 --continue_on_error=all --output-format=json >"$T/full.json" 2>/dev/null || true
failed=$(jq '.jobs[0].total_err' "$T/full.json")
[ "$failed" -ge 2000 ] || fail "only $failed errors"
is "the error that fio saw" "$(jq '.jobs[0].error' "$T/full.json")" 5
wait $pid || exit 1
is "lines about the other disk" "$(errors other)" 0
filled "$full" 102 $mib || fail "what was written before has changed"

rm "$T/small/ballast"
fill "$full" 103 $((2 * mib)) $((20 * mib))
filled "$full" 103 $((2 * mib)) $((20 * mib)) || fail "what was written after space was made differs"
stop
quiet 'full: queue 0: (write|discard) of|full: .* more errors of the store'
clean
# A line when it began, for each kind of operation; of the others their number. On a slow machine the
# writes that succeed come late enough for the line that the store works again.
lines=$(errors full)
[ "$lines" -le $((2 + (SECONDS - began) / 5)) ] || fail "$lines lines for $failed errors"
said 'full: write: ([0-9]+ more errors of the store|the store works again, after [0-9]+ errors)'
more=$(grep -oE '[0-9]+ (more errors of the store|errors in [0-9]+ s)' "$T/err" | awk '{ n += $1 } END { print n + 0 }')
[ $((lines + more)) -ge "$failed" ] || fail "$failed errors, but $lines lines and $more counted"

# An image that ends too early.
serve <<-C
	[short]
	path = $(image short.img 16M)
C
truncate -s 8M "$T/short.img"
if dd if="${NODE[short]}" of=/dev/null bs=4k count=1 skip=$((12 * mib)) iflag=skip_bytes,direct 2>"$T/dd"; then
	fail "read what is not there"
fi
said 'error: short: queue [0-9]+: read of 4096 bytes at 12582912: the store was truncated or removed'
truncate -s 16M "$T/short.img"
filled "${NODE[short]}" 0 $((8 * mib)) $((8 * mib)) || fail "no zeroes after the image had its size again"
stop
quiet 'short: queue [0-9]+: read of|more errors of the store'
clean

# A disk with a bad spot.
null_disk 8
modprobe dm-mod
defer dmsetup --noudevsync remove bad
bad() {
	printf '0 2048 linear %s 0\n2048 2048 %s\n4096 12288 linear %s 4096\n' "$DISK" "$1" "$DISK"
}
bad error | dmsetup --noudevsync create bad
settle_udev
[ -b /dev/mapper/bad ] || fail "no /dev/mapper/bad"
serve <<-C
	[direct]
	path = /dev/mapper/bad
C
fill "${NODE[direct]}" 101 $mib
fill "${NODE[direct]}" 102 $((2 * mib)) $((2 * mib))
write_fails "${NODE[direct]}" $((mib + 65536))
said 'error: direct: queue [0-9]+: write of [0-9]+ bytes at [0-9]+: Input/output error'
if dd if="${NODE[direct]}" of=/dev/null bs=64k count=1 skip=$mib iflag=skip_bytes,direct 2>"$T/dd"; then
	fail "read the bad spot"
fi
said 'error: direct: queue [0-9]+: read of [0-9]+ bytes at [0-9]+: Input/output error'
filled "${NODE[direct]}" 101 $mib || fail "what is before the bad spot differs"
filled "${NODE[direct]}" 102 $((2 * mib)) $((2 * mib)) || fail "what is behind the bad spot differs"
bad "linear $DISK 2048" | dmsetup --noudevsync reload bad
dmsetup --noudevsync resume bad
fill "${NODE[direct]}" 103 $mib $mib
sleep 6
fill "${NODE[direct]}" 103 $mib $mib
said 'direct: write: the store works again, after [0-9]+ errors in [0-9]+ s'
stop
quiet 'direct: queue [0-9]+: (read|write) of|more errors of the store'
clean
filled "$DISK" 103 $mib $mib || fail "what was written after the recovery differs"

# Where the page cache took the write, the flush has to say that it is lost.
bad error | dmsetup --noudevsync reload bad
dmsetup --noudevsync resume bad
serve <<-C
	[cached]
	path = /dev/mapper/bad
	cache = writeback
C
fill_direct "${NODE[cached]}" 104 65536 $mib
if grep -q 'cached: .*write of' "$T/err"; then
	fail "the page cache did not take the write: this test shows nothing"
fi
if xfs_io -d -c fsync "${NODE[cached]}" 2>"$T/fsync"; then
	fail "the flush succeeded that cannot"
fi
said 'error: cached: queue [0-9]+: flush.*: Input/output error'
# What is lost stays lost: no flush succeeds until the disk is detached, wherever it was written.
if fill "${NODE[cached]}" 105 65536 2>"$T/fsync"; then
	fail "a flush succeeded after one that lost writes"
fi
said 'error: cached: writes may be lost: every flush and every durable write fails'
stop
quiet 'cached: queue [0-9]+: |cached: writes may be lost|cannot flush|more errors of the store'
clean
bad "linear $DISK 2048" | dmsetup --noudevsync reload bad
dmsetup --noudevsync resume bad
serve <<-C
	[cached]
	path = /dev/mapper/bad
	cache = writeback
C
fill "${NODE[cached]}" 105 65536
stop
quiet
clean
filled "$DISK" 105 65536 || fail "what was written after the failed flush differs"
