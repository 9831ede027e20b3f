#!/bin/bash
# A store that fails and comes back: told at once, or tried again; and a failed flush, which is not
# forgotten until nobody relies on it any more.
# expect-dmesg: error, dev (vd|dm)|(print_req|buffer_io)_error|Buffer I/O error on dev|I/O error
# once
. tests/vm/lib.sh

# The device-mapper disk NAME becomes something else, under whoever has it open: becomes NAME TARGET...
becomes() {
	dmsetup suspend --noflush --nolockfs "$1"
	dmsetup load "$1" --table "0 65536 ${*:2}"
	dmsetup resume "$1"
}

works() {
	becomes "$1" linear "$DISK" "${START[$1]}"
}

flush_fails() {
	if xfs_io -d -c 'pwrite -q -S 0x5a 0 4k' -c fsync "${NODE[$1]}" >"$T/flush" 2>&1; then
		fail "$1: a flush succeeded that cannot: $2"
	fi
}

flush_works() {
	xfs_io -d -c 'pwrite -q -S 0x5a 0 4k' -c fsync "${NODE[$1]}" >"$T/flush" 2>&1 ||
		fail "$1: a flush failed: $2: $(cat "$T/flush")"
}

rebind() {
	settle_udev
	echo "$1" >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
	echo "$1" >/sys/bus/vdpa/drivers/virtio_vdpa/bind
	wait_for 30 "node" test -b "${NODE[$1]}"
}

guest() {
	echo "driver=virtio-blk-vhost-vdpa,path=${NODE[guest]},cache.direct=on"
}

modprobe dm_mod
modprobe dm_flakey
null_disk 80 cache_size=1 # with none, a flush is nothing
declare -A START=([report]=0 [cached]=65536)
for name in report cached; do
	dmsetup create $name --table "0 65536 linear $DISK ${START[$name]}"
	defer dmsetup remove --retry $name
done
config() {
	cat <<-C
		[global]
		runtime_dir = $T/run
		[report]
		path = /dev/mapper/report
		[patient]
		path = fault:fail_while=$T/patient-fails:$(image patient.img 32M)
		on_error = retry:60
		[impatient]
		path = $T/small/impatient
		on_error = retry:2
		[guest]
		path = fault:fail_while=$T/guest-fails:$(image guest.img 32M)
		driver = vhost-vdpa
		on_error = retry:300
		[cached]
		path = /dev/mapper/cached
		cache = writeback
	C
}
mkdir "$T/small"
mount -t tmpfs -o size=4M tmpfs "$T/small"
truncate -s 16M "$T/small/impatient"
serve < <(config)

# Tried again: the writer sees a slow disk. Told at once: the writer sees an error.
touch "$T/patient-fails"
becomes report error
fill_direct "${NODE[patient]}" 103 4M &
patient=$!
fill_direct "${NODE[report]}" 103 4M >"$T/dd" 2>&1 && fail "a write to a broken store succeeded"
wait_for 20 "word of a new try" grep -q 'error: patient: .*Input/output error; tried again for up to 60 s' "$T/err"
sleep 2
kill -0 $patient || fail "a request to a store that is tried again has ended"
rm "$T/patient-fails"
works report
wait $patient || fail "a write that was tried again failed in the end"
filled "${NODE[patient]}" 103 4M || fail "what was written while the store was away is not there"
fill_direct "${NODE[report]}" 104 4M
filled "${NODE[report]}" 104 4M || fail "what was written after the store came back is not there"

# For so long and no longer.
began=$SECONDS
fill_direct "${NODE[impatient]}" 103 8M >"$T/dd" 2>&1 && fail "8 MiB fit where 4 are"
[ $((SECONDS - began)) -ge 2 ] || fail "given up after $((SECONDS - began)) s"

# A driver that goes away ends the waiting: the next one need not wait for it.
touch "$T/guest-fails"
timeout 60 qemu-io --image-opts "$(guest)" -c 'write 0 64k' >"$T/client" 2>&1 &
client=$!
wait_for 20 "word of a new try" grep -q 'error: guest: .*tried again' "$T/err"
pkill -KILL -P $client qemu-io || fail "the client ended by itself: $(cat "$T/client")"
timeout 20 qemu-io --image-opts "$(guest)" -c length >"$T/io" 2>&1 || fail "no next client: $(cat "$T/io")"
rm "$T/guest-fails"
timeout 20 qemu-io --image-opts "$(guest)" -c 'write -P 7 0 64k' -c 'read -P 7 0 64k' >"$T/io" 2>&1 ||
	fail "the next client failed: $(cat "$T/io")"
wait $client 2>/dev/null || true

# A flush that failed: the store says so once, the disk until nobody relies on it.
flush_works report "before any failure"
becomes report flakey "$DISK" 0 0 1 1 error_writes
flush_fails report "the store fails"
works report
flush_fails report "an earlier one failed, and what it lost is not known"
rebind report
flush_works report "after the driver was reset"

flush_works cached "before any failure"
becomes cached flakey "$DISK" "${START[cached]}" 0 1 1 error_writes
flush_fails cached "the store fails"
works cached
flush_fails cached "an earlier one failed"
rebind cached
flush_fails cached "what it lost may be in the page cache still"

# A server after a crash does not know better.
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
cat "$T/err" >>"$T/said"
serve < <(config)
flush_fails cached "the server was killed and another one goes on"
fill_direct "${NODE[patient]}" 103 4M
stop
clean
serve < <(config)
flush_works cached "after the disk was detached"
stop
quiet
clean
