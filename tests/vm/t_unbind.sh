#!/bin/bash
# virtio_vdpa is unbound and bound from sysfs while fio runs: its disk has errors and comes back,
# neither the server nor another disk suffers.
# UNBINDS: how often (6)
# expect-dmesg: I/O error
. tests/vm/lib.sh

unbinds=${UNBINDS:-6}

# Without end on a disk that does not suffer, each time with other contents.
other_passes() {
	local pass=0
	while [ -d "$T" ] && [ ! -e "$T/enough" ]; do
		pass=$((pass + 1))
		fio --name=other --filename="${NODE[other]}" --ioengine=io_uring --direct=1 --allow_file_create=0 --rw=randrw \
			--bsrange=4k-64k --size=8m --iodepth=16 --verify=crc32c --verify_fatal=1 \
			--verify_state_save=0 --randseed=$pass >"$T/other.log" 2>&1 || return 1
	done
}

unbind_under_load() {
	fio --name=x --filename="$node" --ioengine=io_uring --direct=1 --allow_file_create=0 --rw=randrw --bs=16k \
		--iodepth=64 --time_based --runtime=600 >"$T/fio" 2>&1 &
	fio=$!
	catch_requests "$node" 8
	sleep 0.$((RANDOM % 4))
	echo victim >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
	status=0
	wait $fio || status=$?
	[ $status -ne 0 ] || fail "the disk was taken away, and fio saw no error: $(cat "$T/fio")"
	[ ! -b "$node" ] || fail "$node is still there"
	echo victim >/sys/bus/vdpa/drivers/virtio_vdpa/bind
	wait_for 30 "node" test -b "$node"
	fill_direct "$node" $((n % 7 + 101)) 256K
	filled "$node" $((n % 7 + 101)) 256K || fail "what was written after $n unbindings is not there"
	settle_udev
}

image victim.img 32M >/dev/null
image other.img 32M >/dev/null
serve <<-C
	[global]
	runtime_dir = $T/run
	workers = 1
	[victim]
	path = $T/victim.img
	queues = 2
	[other]
	path = $T/other.img
	queues = 2
C
node=${NODE[victim]}
other_passes &
other=$!
for ((n = 0; n < unbinds; n++)); do
	unbind_under_load
	if [ $n -eq 1 ]; then
		fds_before=$(fds) maps_before=$(maps) rss_before=$(rss) kernel_before=$(unreclaimable)
	fi
	kill -0 $other 2>/dev/null || break # early: it ended with an error
done
touch "$T/enough"
wait $other || fail "the other disk: $(cat "$T/other.log")"
idle_threads_end
grown=$(($(unreclaimable) - kernel_before))
say "after $n: $(fds) descriptors, $(maps) mappings, $(rss) KiB, $grown KiB more in the kernel;" \
	"after 2: $fds_before, $maps_before, $rss_before"
is "number of descriptors" "$(fds)" "$fds_before"
# Stacks of threads that have ended are kept; bounce memory that is not given up would be 64 MiB each time.
[ "$(maps)" -le $((maps_before + 32)) ] || fail "mappings pile up"
[ "$(rss)" -le $((rss_before + 65536 + unbinds * 16)) ] || fail "memory piles up"
[ $grown -le $((8192 + unbinds * 64)) ] || fail "kernel memory piles up"
stop
quiet 'another program unbound its driver'
clean
