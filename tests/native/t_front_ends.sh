#!/bin/bash
# The orders of messages of five virtual machine monitors; queues, memory and interrupts that change
# under load; reconnects, dirty log, resets: by a scripted front end with verified I/O.
. tests/native/lib.sh
need_vhost_user

img=$(image disk.img 64M)
for queues in 1 4; do
	start_backend "$img" "$T/socket" queues=$queues
	client front_ends --queues $queues --image "$img" "$T/socket"
	stop_backend
done

# Firecracker has no FLUSH: each write is durable. The others have, in each cache mode.
for cache in none writeback writethrough; do
	start_backend "$img" "$T/socket" queues=2 cache=$cache
	client front_ends --vmm all --queues 2 --image "$img" "$T/socket" vmm kept
	stop_backend
done

before=$(checksum "$img")
start_backend "$img" "$T/socket" queues=2 readonly=yes
client front_ends --queues 2 "$T/socket" read-only
stop_backend 'head [0-9]*: invalid request, completed with status 1'
is "the read-only image" "$(checksum "$img")" "$before"
