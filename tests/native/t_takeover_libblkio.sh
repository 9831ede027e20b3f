#!/bin/bash
# serve --takeover under verified I/O of libblkio, which never connects again: the connection passes from
# server to server. TAKEOVERS: how often (10)
# deadline: 1800
. tests/native/lib.sh
. tests/native/libblkio_load.sh
need_vhost_user

takeovers=${TAKEOVERS:-10}
img=$(image disk.img 64M)
serve < <(
	printf '[global]\nruntime_dir = %s\n' "$T/run"
	disk_section disk "$img" "$T/socket" queues=4
)
libblkio_starts 4
take_over
libblkio_runs
fds_before=$(fds)
for ((n = 0; n < takeovers; n++)); do
	take_over
	libblkio_runs
	quiet
done
is "descriptors after $takeovers takeovers" "$(fds)" "$fds_before"
libblkio_ends
# A second client connects to the socket of the last server.
client blkio_verify "$T/socket" 1 2000
stop
quiet
