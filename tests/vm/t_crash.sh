#!/bin/bash
# kill -9 under load, again and again: the writers see pauses and never an error, no block is lost.
. tests/vm/lib.sh

kills=${KILLS:-4}
raw=$(image raw.img 64M)
fs=$(image fs.img 256M)
config() {
	cat <<-C
		[global]
		runtime_dir = $T/run
		[raw]
		path = $raw
		queues = 4
		[fs]
		path = $fs
		queues = 2
	C
}

serve < <(config)
mkfs.ext4 -q "${NODE[fs]}"
mkdir "$T/mnt"
mount "${NODE[fs]}" "$T/mnt"

(
	while [ ! -e "$T/enough" ]; do
		fio --name=raw --filename="${NODE[raw]}" --ioengine=io_uring --direct=1 --rw=randrw \
			--bsrange=4k-64k --size=16m --offset_increment=16m --iodepth=32 \
			--numjobs=4 --verify=crc32c --verify_fatal=1 --verify_state_save=0 || exit 1
	done
) >"$T/fio" 2>&1 &
fio=$!
(
	i=0
	while [ ! -e "$T/enough" ]; do
		mkdir "$T/mnt/$i" && cp /usr/include/linux/[ab]*.h "$T/mnt/$i/" && sync -f "$T/mnt" || exit 1
		i=$((i + 1))
	done
) >"$T/writer" 2>&1 &
writer=$!

under_way() {
	local reads writes
	read -r reads writes <"/sys/block/${NODE[raw]#/dev/}/inflight"
	[ $((reads + writes)) -gt 8 ]
}

for i in $(seq "$kills"); do
	sleep "0.$((RANDOM % 10))"
	wait_for 60 "request in flight" under_way
	kill -9 "$SERVER"
	wait "$SERVER" 2>/dev/null || true
	serve < <(config)
	quiet
	cat "$T/err" >>"$T/said"
done
touch "$T/enough"
wait $writer || fail "the writer to ext4 saw an error: $(cat "$T/writer")"
wait $fio || fail "fio: $(cat "$T/fio")"
for copy in "$T"/mnt/[0-9]*; do
	for f in /usr/include/linux/[ab]*.h; do
		cmp -s "$f" "$copy/${f##*/}" || fail "$copy/${f##*/} differs"
	done
done
grep -q 'requests again' "$T/said" || fail "no request was in flight at any kill: nothing was tested"
say "$(grep -o 'serves .* requests' "$T/said" | awk '{ n += $2 } END { print n }') requests were served again"
umount "$T/mnt"
stop
clean
[ ! -e "$T/run/raw.inflight" ] || fail "the record of a destroyed device is left"
e2fsck -fn "$fs" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
