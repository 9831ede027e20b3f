#!/bin/bash
# The clients of this tier against a back end that others wrote, qemu-storage-daemon: they are right.
BACKEND=qemu-storage-daemon
. tests/native/lib.sh

img=$(image disk.img 64M)
for queues in 1 4; do
	start_backend "$img" "$T/socket" queues=$queues
	client front_ends --peer --queues $queues --image "$img" "$T/socket"
	client blkio_verify "$T/socket" $queues 4000
	stop_backend
	rm -f "$T/socket"
done
