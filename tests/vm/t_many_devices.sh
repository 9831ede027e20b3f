#!/bin/bash
# Many disks of one server: all are there and hold their own store, an idle one costs little memory
# and no thread, a busy one works among them, and nothing is left of any. How large a sparse image
# is does not matter.
# DEVICES: how many, one server after the other ("1 16")
# deadline: 1200
# once
. tests/vm/lib.sh

# What a sanitizer does with memory and with time is not looked at.
sanitized() {
	ldd "$VDUSE_BLK" | grep -qE 'lib[at]san'
}

counts=(1 16)
[ -z "${DEVICES-}" ] || read -ra counts <<<"$DEVICES"
PATIENCE=600
idle_max_kib=1024
fds_max=$((8 + $(nproc))) # VDUSE, its control, the store and four for syncs, the inflight log; a kick per queue
AS=(prlimit --nofile=128:128) # root may have more

mkdir "$T/images"
null_disk 256
mkfs.ext4 -q -b 4096 "$DISK"
mount "$DISK" "$T/images"

# Each image begins with its own name: disk NAME SIZE [OPTION]
disk() {
	truncate -s "$2" "$T/images/$1"
	echo "$1" | dd of="$T/images/$1" conv=notrunc status=none
	printf '[%s]\npath = %s\numem = off\n%s\n' "$1" "$T/images/$1" "${3-}"
}

# The first one is busy later; of the others, one is for a virtual machine.
disks() {
	local sizes=(64M 8T 10G 1G) n
	disk disk1 64M
	for ((n = 2; n <= $1; n++)); do
		if [ $n -eq 16 ]; then
			disk disk$n 32M "driver = vhost-vdpa"
		else
			disk disk$n "${sizes[n % 4]}"
		fi
	done
}

ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# Not those that io_uring lends for a while.
threads() {
	grep -Lx 'iou-wrk.*' "/proc/$SERVER/task"/*/comm 2>/dev/null | wc -l
}

# Resident and pinned, KiB.
memory() {
	awk '/^Vm(RSS|Pin):/ { sum += $2 } END { print sum }' "/proc/$SERVER/status"
}

# Serves the configuration on standard input. Sets what it costs.
serve_measured() {
	local before begun
	settle_udev 120
	before=$(unreclaimable) begun=$(ms)
	serve
	attach_ms=$(($(ms) - begun))
	settle_udev 120
	every_disk_has_its_store
	threads=$(threads) memory=$(memory) fds=$(fds) maps=$(maps)
	kernel=$(($(unreclaimable) - before))
}

every_disk_has_its_store() {
	local name
	is "different nodes" "$(cut -d' ' -f2 "$T/out" | sort -u | wc -l)" "$(grep -c '^\[' "$T/conf")"
	perl -e '
		while (<>) {
			my ($name, $node) = split;
			next if $node =~ /vhost/;
			open my $disk, "<:raw", $node or die "$node: $!\n";
			sysread $disk, my $text, 4096 or die "$node: $!\n";
			$text =~ /^$name\n\0/ or die "$node is not $name\n";
			my $size = sysseek $disk, 0, 2;
			$size == -s "'"$T"'/images/$name" or die "$node has $size bytes\n";
			sysseek $disk, -4096, 2;
			sysread($disk, $text, 4096) == 4096 or die "$node: its end: $!\n";
			$text eq "\0" x 4096 or die "$node: its end is not empty\n";
		}' "$T/out" 2>"$T/perl" || fail "$(cat "$T/perl")"
	for name in "${!NODE[@]}"; do
		case ${NODE[$name]} in
		/dev/vhost*) vhost_has "$name" ;;
		esac
	done
}

vhost_has() {
	qemu-io --image-opts "driver=virtio-blk-vhost-vdpa,path=${NODE[$1]},cache.direct=on" \
		-c "read -v 0 512" >"$T/qemu" 2>&1 || fail "qemu-io on $1: $(cat "$T/qemu")"
	grep -q "$1" "$T/qemu" || fail "${NODE[$1]} is not $1: $(cat "$T/qemu")"
}

# Reads of 4 KiB, 32 at a time. Prints how many a second.
iops() {
	fio --name=x --filename="$1" --ioengine=io_uring --direct=1 --rw=randread --bs=4k --iodepth=32 \
		--size=64m --io_size=32m >"$T/fio" 2>&1 || fail "fio: $(cat "$T/fio")"
	sed -n 's/^ *read: IOPS=\([^,]*\),.*/\1/p' "$T/fio"
}

all_go() {
	local begun
	checksum "${NODE[disk1]}" >"$T/sum"
	begun=$(ms)
	stop
	detach_ms=$(($(ms) - begun))
	quiet
	clean
	is "the image of disk1" "$(checksum "$T/images/disk1")" "$(cat "$T/sum")"
	rm "$T/images"/disk*
}

# What each device costs that was not there before: per_device NOW BEFORE DEVICES
per_device() {
	echo $((($1 - $2) / $3))
}

for count in "${counts[@]}"; do
	disks "$count" >"$T/disks"
	serve_measured <"$T/disks"
	if [ "$count" = "${counts[0]}" ]; then
		first=$count first_threads=$threads first_memory=$memory first_fds=$fds first_kernel=$kernel
		first_maps=$maps
	fi
	more=$((count - first))
	is "threads of $count devices" "$threads" "$first_threads"
	fio_verify --name=busy --filename="${NODE[disk1]}" --size=8M
	say "$count devices: $threads threads, $fds descriptors, $maps mappings, $memory KiB, the kernel $kernel" \
		"KiB; attached in $attach_ms ms; one busy: $(iops "${NODE[disk1]}") IOPS"
	all_go
	say "$count devices detached in $detach_ms ms"
	[ $more -gt 0 ] || continue
	idle_kib=$(per_device "$memory" "$first_memory" $more)
	say "each idle one: $idle_kib KiB, the kernel $(per_device "$kernel" "$first_kernel" $more) KiB," \
		"$(per_device "$fds" "$first_fds" $more) descriptors, $(per_device "$maps" "$first_maps" $more) mappings"
	[ "$idle_kib" -lt $idle_max_kib ] || sanitized || fail "an idle device costs $idle_kib KiB"
	[ "$fds" -le $((first_fds + more * fds_max)) ] || fail "$fds descriptors for $count devices, $first_fds for $first"
done

for size in 10G 8T; do
	for n in 1 2 3 4; do
		disk disk$n $size
	done >"$T/disks"
	serve_measured <"$T/disks"
	say "4 sparse images of $size: $memory KiB, the kernel $kernel KiB, $fds descriptors," \
		"attached in $attach_ms ms"
	if [ $size = 10G ]; then
		small_memory=$memory small_fds=$fds
	fi
	settle_udev
	stop
	quiet
	clean
	rm "$T/images"/disk*
done
# The number of stages (64 KiB) that udev's reads touch differs between two runs. A bit for each 64 KiB of the
# images would be 64 MiB.
[ "$memory" -le $((small_memory + 4096)) ] || sanitized ||
	fail "images of 8T cost $memory KiB, of 10G $small_memory KiB"
is "descriptors for images of 8T" "$fds" "$small_fds"
