#!/bin/bash
# A CPU goes away, and with it all CPUs of a queue. Then a server that goes on with the disks must
# not interrupt that queue: the kernel looks for one of its CPUs for ever
# (vduse_vq_update_effective_cpu), and the thread that asked can not be killed.
. tests/vm/lib.sh
. tests/vm/load.sh

cpu=/sys/devices/system/cpu/cpu1/online
[ -e $cpu ] || skip "no CPU can be taken away here"
defer sh -c "echo 1 >$cpu"

# One read on each CPU that is there.
read_all() {
	local n
	for n in $(taskset -pc $$ | sed 's/.*: //; s/[,-]/ /g'); do
		timeout 30 taskset -c "$n" dd if="${NODE[raw]}" of=/dev/null bs=64k count=4 iflag=direct \
			status=none || fail "cannot read on CPU $n"
	done
}

load_config >"$T/conf"
start_server
cat /sys/class/vduse/raw/vq*/irq_cb_affinity >"$T/affinity"
grep -qx 2 "$T/affinity" || fail "no queue has the CPU that goes: $(cat "$T/affinity")"
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
