#!/bin/bash
# A CPU goes away, and with it all CPUs of a queue. Then a server that goes on with the disks must
# not interrupt that queue: the kernel looks for one of its CPUs for ever
# (vduse_vq_update_effective_cpu), and the thread that asked can not be killed.
# once
. tests/vm/lib.sh
. tests/vm/load.sh

cpu=/sys/devices/system/cpu/cpu1/online
[ -e $cpu ] || skip "no CPU can be taken away here"
defer sh -c "echo 1 >$cpu"

# Reads on each CPU that is there.
read_all() {
	local n disk
	for n in $(taskset -pc $$ | sed 's/.*: //; s/[,-]/ /g'); do
		for disk in raw one other; do
			timeout 30 taskset -c "$n" dd if="${NODE[$disk]}" of=/dev/null bs=64k count=4 \
				iflag=direct status=none || fail "cannot read $disk on CPU $n"
		done
	done
}

has_cpus() { # disk mask
	local mask
	mask=$(cat /sys/class/vduse/"$1"/vq0/irq_cb_affinity)
	[ "$mask" = "$2" ] || fail "the queue of $1 has CPUs $mask, not $2"
}

{
	load_config
	for disk in one other; do
		truncate -s 16M "$T/$disk.img"
		printf '[%s]\npath = %s\nqueues = 1\n' $disk "$T/$disk.img"
	done
} >"$T/conf"
start_server
cat /sys/class/vduse/raw/vq*/irq_cb_affinity >"$T/affinity"
grep -qx 2 "$T/affinity" || fail "no queue has the CPU that goes: $(cat "$T/affinity")"
# One queue, and a CPU for its interrupts that is never taken away; which only one queue has.
[ -e /sys/devices/system/cpu/cpu0/online ] || has_cpus one 1
has_cpus other 3
read_all
echo 0 >$cpu
read_all
take_over
read_all
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
start_server
read_all
echo 1 >$cpu
read_all
quiet
stop
clean
