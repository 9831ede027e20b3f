#!/bin/bash
# The kernel's driver sees the disk as configured, and by default as its store is.
# once
. tests/vm/lib.sh

# has NAME ATTRIBUTE VALUE [ATTRIBUTE VALUE]...
has() {
	local name=$1
	shift
	while [ $# -gt 0 ]; do
		is "$1 of $name" "$(sysfs "${NODE[$name]}" "$1")" "$2"
		shift 2
	done
}

# same_as NAME STORE ATTRIBUTE...: what the store's own sysfs says
same_as() {
	local name=$1 store=$2 attribute
	shift 2
	for attribute; do
		has "$name" "$attribute" "$(sysfs "$store" "$attribute")"
	done
}

# The driver makes no more hardware queues than there are CPUs.
has_queues() {
	local want=$2
	[ "$want" -le "$(nproc)" ] || want=$(nproc)
	is "hardware queues of $1" "$(find "/sys/block/${NODE[$1]#/dev/}/mq" -mindepth 1 -maxdepth 1 -type d | wc -l)" "$want"
}

scsi_disk() {
	ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block
}

mkdir "$T/ext4"
null_disk 64
mkfs.ext4 -q -b 1024 "$DISK"
mount "$DISK" "$T/ext4"
plain=$(image plain.img 12345344)
truncate -s 1M "$plain.ro"
small_blocks=$(image ext4/small.img 8M)

null_disk 16 blocksize=4096 discard=1
disk_4k=$DISK
null_disk 16
disk_plain=$DISK
loop_disk "$(image loop.img 16M)" --sector-size 4096
loop_4k=$DISK
modprobe scsi_debug dev_size_mb=16 sector_size=512 physblk_exp=3 opt_blks=128 lbpu=1 lbprz=1
defer modprobe -r --wait 10000 scsi_debug
wait_for 20 "SCSI disk" scsi_disk
settle_udev
scsi=/dev/$(scsi_disk)

serve <<-C
	[defaults]
	path = $plain
	[a-name-longer-than-a-serial]
	path = $small_blocks
	[configured]
	path = $(image configured.img 16M)
	serial = Serial number of 20b
	logical_block_size = 2048
	queues = 1
	queue_size = 64
	cache = writethrough
	discard = no
	write_zeroes = no
	[unsafe]
	path = $(image unsafe.img 1M)
	cache = unsafe
	queues = 2
	discard = yes
	write_zeroes = yes
	[readonly]
	path = $plain.ro
	readonly = yes
	[disk-4k]
	path = $disk_4k
	[disk-plain]
	path = $disk_plain
	[loop-4k]
	path = $loop_4k
	[scsi]
	path = $scsi
C

has defaults size 24112 ro 0 serial defaults \
	queue/logical_block_size 512 queue/physical_block_size 4096 \
	queue/minimum_io_size 4096 queue/optimal_io_size 0 \
	queue/discard_granularity 4096 queue/discard_max_bytes 2147483648 \
	queue/max_discard_segments 256 queue/write_zeroes_max_bytes 2147483648 \
	queue/write_cache "write back" queue/rotational 1 mq/0/nr_tags 512
has_queues defaults "$(nproc)"

has a-name-longer-than-a-serial serial a-name-long-a7a3bc7f \
	queue/physical_block_size 1024 queue/minimum_io_size 1024 queue/discard_granularity 1024

has configured size 32768 serial "Serial number of 20b" \
	queue/logical_block_size 2048 queue/physical_block_size 4096 \
	queue/discard_max_bytes 0 queue/write_zeroes_max_bytes 0 \
	queue/write_cache "write through" mq/0/nr_tags 64
has_queues configured 1

has unsafe queue/write_cache "write back" size 2048
has_queues unsafe 2
has readonly ro 1 queue/discard_max_bytes 0 queue/write_zeroes_max_bytes 0
is "blockdev --getsize64" "$(blockdev --getsize64 "${NODE[defaults]}")" 12345344

limits=(size queue/logical_block_size queue/physical_block_size queue/minimum_io_size queue/optimal_io_size)
for name in disk-4k:"$disk_4k" disk-plain:"$disk_plain" loop-4k:"$loop_4k" scsi:"$scsi"; do
	same_as "${name%:*}" "${name#*:}" "${limits[@]}"
done
has disk-4k queue/logical_block_size 4096 queue/discard_granularity 4096 queue/discard_max_bytes 2147483648
has disk-plain queue/discard_max_bytes 0 queue/max_discard_segments 1
has loop-4k queue/logical_block_size 4096
has scsi queue/physical_block_size 4096 queue/logical_block_size 512 queue/optimal_io_size 65536
same_as scsi "$scsi" queue/discard_granularity
stop
quiet
clean

for discard in yes auto; do
	printf '[disk]\npath = %s\ndiscard = %s\n' "$disk_plain" $discard >"$T/discard"
	if [ $discard = yes ]; then
		refused 1 'discard = yes, but /dev/.* cannot discard' <"$T/discard"
	fi
done
