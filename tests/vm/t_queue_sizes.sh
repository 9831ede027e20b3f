#!/bin/bash
# One and four queues, of the smallest, the largest and the default size, with and without indirect
# descriptors, carry a file system and verified I/O.
# once
. tests/vm/lib.sh

mkdir "$T/mnt"
modprobe loop
# SIZE INDIRECT TAGS: without indirect descriptors Linux counts two for a request.
while read -r size indirect tags <&3; do
	for queues in 1 4; do
		printf '[q%s]\npath = %s\nqueues = %s\nqueue_size = %s\nindirect_descriptors = %s\n' \
			$queues "$(image "$queues.img" 8M)" $queues "$size" "$indirect"
	done >"$T/queues"
	serve <"$T/queues"
	jobs=()
	for queues in 1 4; do
		node=${NODE[q$queues]}
		is "requests at a time on a queue" "$(sysfs "$node" mq/0/nr_tags)" "$tags"
		mkfs.ext4 -q "$node"
		jobs+=(--name="q$queues" --filename="$node")
	done
	# Behind the file systems' beginnings, which are mounted afterwards.
	fio_verify --offset=6M --size=1M --numjobs=2 --offset_increment=1M "${jobs[@]}"
	for queues in 1 4; do
		checksum "${NODE[q$queues]}" >"$T/$queues.sum"
	done
	stop
	quiet
	clean
	for queues in 1 4; do
		is "the image of $queues queues of $size" "$(checksum "$T/$queues.img")" "$(cat "$T/$queues.sum")"
		mount -o loop,ro,noload "$T/$queues.img" "$T/mnt"
		umount "$T/mnt"
		rm "$T/$queues.img"
	done
done 3<<-END
	2 auto 2
	16 no 8
	1024 yes 1024
	auto auto 512
END
