#!/bin/bash
# A new server takes over from a running one, under load: the writers see a short pause, no error.
# TAKEOVERS: how often (4)
. tests/vm/lib.sh

times=${TAKEOVERS:-4}
raw=$(image raw.img 64M)
fs=$(image fs.img 128M)
cat >"$T/conf" <<-C
	[global]
	runtime_dir = $T/run
	[raw]
	path = $raw
	queues = 4
	[fs]
	path = $fs
	queues = 2
C
start_server
mkfs.ext4 -q "${NODE[fs]}"
mkdir "$T/mnt"
mount "${NODE[fs]}" "$T/mnt"

(
	while [ ! -e "$T/enough" ]; do
		fio --name=raw --filename="${NODE[raw]}" --ioengine=io_uring --direct=1 --rw=randrw \
			--bsrange=4k-64k --size=8m --offset_increment=16m --iodepth=32 \
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

list() {
	"$VDUSE_BLK" list -c "$T/conf"
}

for ((n = 0; n < times; n++)); do
	sleep 0.$((RANDOM % 10))
	fio --name=probe --filename="${NODE[raw]}" --direct=1 --rw=randread --bs=4k --time_based \
		--runtime=30 --output-format=json --output="$T/probe" &
	probe=$!
	sleep 1
	take_over
	quiet
	sleep 0.5
	kill -INT $probe
	wait $probe || true
	say "the slowest read at a takeover: $(sed -n '/^{/,$p' "$T/probe" |
		jq '.jobs[0].read.clat_ns.max / 1000000 | floor') ms"
	is "lines of list" "$(list | wc -l)" 2
	grep -q "^raw ${NODE[raw]} virtio_vdpa attached 67108864 $raw\$" <(list) || fail "list: $(list)"
done
[ "$("$VDUSE_BLK" stats --json -c "$T/conf" | jq -r '.[] | select(.name == "raw") | .queues | length')" -eq 4 ] ||
	fail "stats --json: $("$VDUSE_BLK" stats --json -c "$T/conf")"

# Not from a server that has disks which we would leave alone.
head -n 5 "$T/conf" >"$T/less.conf"
status=0
"$VDUSE_BLK" serve --takeover -c "$T/less.conf" >"$T/less" 2>&1 || status=$?
is "status of a takeover of half a server" $status 1
grep -q 'it serves fs too' "$T/less" || fail "it did not say what else is served: $(cat "$T/less")"

touch "$T/enough"
wait $writer || fail "the writer to ext4 saw an error: $(cat "$T/writer")"
wait $fio || fail "fio: $(cat "$T/fio")"
for copy in "$T"/mnt/[0-9]*; do
	for f in /usr/include/linux/[ab]*.h; do
		cmp -s "$f" "$copy/${f##*/}" || fail "$copy/${f##*/} differs"
	done
done
umount "$T/mnt"

# Without a new server nothing is detached either, and the next one goes on.
kill -USR1 "$SERVER"
ended
said 'leaving all disks as they are'
[ -b "${NODE[raw]}" ] || fail "a disk is gone"
is "answers when nobody serves" "$(list)" ""
start_server
fill_direct "${NODE[raw]}" 101 64K
stop
clean
e2fsck -fn "$fs" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
left=$(ls "$T/run")
is "what is left in runtime_dir" "$left" ""
