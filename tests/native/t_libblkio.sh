#!/bin/bash
# libblkio's driver virtio-blk-vhost-user: verified random I/O with 1 and 4 queues, and qemu-io through
# it: odd places and sizes, discard, zeroes, the end of the disk, one client after the other.
. tests/native/lib.sh
. tests/native/qemu_io.sh
need_vhost_user

img=$(image disk.img 64M)
for queues in 1 4; do
	start_backend "$img" "$T/socket" queues=$queues
	client blkio_verify "$T/socket" "$queues" 20000
	client blkio_verify "$T/socket" 1 2000
	stop_backend
	[ "$BACKEND" = vduse-blk ] || rm -f "$T/socket"
done

start_backend "$img" "$T/socket"
io -c 'write -P 0x5a 0 64k' -c 'read -P 0x5a 0 64k' -c flush \
	-c 'write -P 0x61 1M 8M' -c 'read -P 0x61 1M 8M' \
	-c 'write -P 0x07 512 1536' -c 'read -P 0x07 512 1536' -c 'read -P 0x5a 2048 62k' \
	-c 'write -z 8k 4k' -c 'read -P 0 8k 4k' -c 'read -P 0x5a 12k 52k' \
	-c 'discard 2M 1M' -c 'read -P 0 2M 1M' -c 'read -P 0x61 3M 6M' \
	-c 'write -z -u 4M 1M' -c 'read -P 0 4M 1M' \
	-c 'write -P 0x09 20481 1000' -c 'read -P 0x09 20481 1000' -c 'read -P 0x5a 20480 1' \
	-c 'writev -P 0x04 16M 512 4k 512 64k' -c 'readv -P 0x04 16M 512 4k 512 64k'
io -c 'read -P 0x61 3M 1M' -c 'read -P 0x04 16M 69k' -c flush
io -c 'write -P 0x12 67108352 512' -c 'read -P 0x12 67108352 512' -c length
grep -qx '64 MiB' "$T/io" || fail "not the size of the disk: $(cat "$T/io")"
io_refused -c 'write 64M 512'
io_refused -c 'write 63M 2M'
io_refused -c 'read 64M 4k'
for ((n = 0; n < 5; n++)); do
	io -c "write -P $((0x20 + n)) $((24 + n))M 64k" -c "read -P $((0x20 + n)) $((24 + n))M 64k"
done
stop_backend
filled "$img" 022 512 67108352 || fail "the last sector is not what was written"
filled "$img" 044 64K 28M || fail "what was written at 28M is not in the image"
