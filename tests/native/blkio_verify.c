// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blkio_verify SOCKET QUEUES REQUESTS [OFFSET]: random reads, writes, flushes, discards and write
 * zeroes by libblkio's driver virtio-blk-vhost-user, all verified. Each queue has a thread, and a part
 * of the disk. REQUESTS is a number for each queue, or a file: then they end when it exists, and a line
 * "running" is printed after each 1000 requests. Buffers begin OFFSET bytes behind a page's begin. The
 * last line has the disk's size and its logical block, in bytes.
 */
#include <blkio.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "native.h"

#define BLOCK	   4096u
#define WORDS	   (BLOCK / 8)
#define SLOTS	   32u	 /* requests in flight in each queue */
#define BLOCKS_MAX 8u	 /* of a request */
#define BLOCKS	   1024u /* of each queue's part of the disk */
#define QUEUES_MAX 8u
#define UNKNOWN	   UINT32_MAX

enum kind { READ, WRITE, FLUSH, DISCARD, ZEROES };

struct slot {
	bool busy;
	enum kind kind;
	uint32_t block, count, generation;
	uint8_t *data;
};

struct part {
	struct blkioq *queue;
	uint64_t first; /* block of the disk */
	uint32_t generation[BLOCKS];
	bool busy[BLOCKS];
	struct slot slots[SLOTS];
	unsigned int in_flight;
	uint64_t offered, requests;
	uint64_t random;
};

static struct part parts[QUEUES_MAX];
static const char *until; /* a file; NULL: none */
static unsigned int part_count;
static size_t buffer_offset;

static uint64_t roll(struct part *part)
{
	/* xorshift64: the same requests in every run */
	part->random ^= part->random << 13;
	part->random ^= part->random >> 7;
	part->random ^= part->random << 17;
	return part->random;
}

static void check(int err, const char *what)
{
	if (err)
		fail("%s: %s", what, blkio_get_error_msg());
}

static uint64_t word_of(uint64_t block, uint32_t generation, unsigned int i)
{
	if (!generation)
		return 0;
	return (block << 32 | generation) * 0x9e3779b97f4a7c15ull + i;
}

static void fill(const struct part *part, const struct slot *slot)
{
	uint64_t *words = (uint64_t *)slot->data;

	for (unsigned int i = 0; i < slot->count * WORDS; i++)
		words[i] =
			word_of(part->first + slot->block + i / WORDS, slot->generation, i % WORDS);
}

static void check_block(const struct part *part, const struct slot *slot, uint32_t i)
{
	const uint64_t *words = (const uint64_t *)slot->data + i * WORDS;
	uint64_t block = part->first + slot->block + i;
	uint32_t generation = part->generation[slot->block + i];

	if (generation == UNKNOWN)
		return;
	for (unsigned int n = 0; n < WORDS; n++)
		want(words[n] == word_of(block, generation, n),
		     "block %" PRIu64 " is not of generation %u, from byte %u on", block,
		     generation, n * 8);
}

static void finish(struct part *part, struct slot *slot)
{
	for (uint32_t i = 0; i < slot->count; i++) {
		if (slot->kind == READ)
			check_block(part, slot, i);
		else if (slot->kind == WRITE)
			part->generation[slot->block + i] = slot->generation;
		else
			part->generation[slot->block + i] = slot->kind == ZEROES ? 0 : UNKNOWN;
		part->busy[slot->block + i] = false;
	}
	slot->busy = false;
	part->in_flight--;
}

static bool choose(struct part *part, struct slot *slot)
{
	slot->count = 1 + (uint32_t)(roll(part) % BLOCKS_MAX);
	slot->block = (uint32_t)(roll(part) % (BLOCKS - slot->count + 1));
	for (uint32_t i = 0; i < slot->count; i++)
		if (part->busy[slot->block + i])
			return false;
	memset(part->busy + slot->block, 1, slot->count);
	return true;
}

static enum kind choose_kind(struct part *part)
{
	unsigned int n = roll(part) % 64;

	if (n < 2)
		return FLUSH;
	if (n == 2)
		return DISCARD;
	if (n == 3)
		return ZEROES;
	return n % 2 ? WRITE : READ;
}

static void submit(struct part *part, struct slot *slot)
{
	uint64_t at = (part->first + slot->block) * BLOCK;
	size_t len = slot->count * BLOCK;

	switch (slot->kind) {
	case READ:
		blkioq_read(part->queue, at, slot->data, len, slot, 0);
		break;
	case WRITE:
		fill(part, slot);
		blkioq_write(part->queue, at, slot->data, len, slot, 0);
		break;
	case FLUSH:
		blkioq_flush(part->queue, slot, 0);
		break;
	case DISCARD:
		blkioq_discard(part->queue, at, len, slot, 0);
		break;
	case ZEROES:
		blkioq_write_zeroes(part->queue, at, len, slot, 0);
		break;
	}
}

static void offer(struct part *part)
{
	for (unsigned int i = 0; i < SLOTS && part->offered < part->requests; i++) {
		struct slot *slot = &part->slots[i];

		if (slot->busy)
			continue;
		slot->kind = choose_kind(part);
		slot->count = 0;
		if (slot->kind != FLUSH && !choose(part, slot))
			continue;
		slot->busy = true;
		slot->generation = (uint32_t)++part->offered;
		part->in_flight++;
		submit(part, slot);
	}
}

/* Waits for one at least. */
static void reap(struct part *part)
{
	struct timespec patience = { .tv_sec = PATIENCE_MS / 1000 };
	struct blkio_completion completions[SLOTS];
	int count = blkioq_do_io(part->queue, completions, 1, SLOTS, &patience);

	check(MIN(count, 0), "I/O");
	for (int i = 0; i < count; i++) {
		struct slot *slot = completions[i].user_data;

		want(completions[i].ret == 0, "request of kind %d at block %" PRIu64 ": %s",
		     slot->kind, part->first + slot->block, strerror(-completions[i].ret));
		finish(part, slot);
	}
}

static void *run_part(void *arg)
{
	struct part *part = arg;

	uint64_t printed = 0;

	where("queue with block %" PRIu64, part->first);
	while (part->offered < part->requests || part->in_flight) {
		offer(part);
		reap(part);
		if (!until || part->offered - printed < 1000)
			continue;
		printed = part->offered;
		printf("running: block %" PRIu64 ", %" PRIu64 " requests\n", part->first, printed);
		fflush(stdout);
		if (!access(until, F_OK))
			part->requests = part->offered;
	}
	return NULL;
}

static uint8_t *alloc_buffers(struct blkio *blkio, size_t size)
{
	struct blkio_mem_region region;

	check(blkio_alloc_mem_region(blkio, &region, size + BLOCK), "memory");
	check(blkio_map_mem_region(blkio, &region), "memory");
	return (uint8_t *)region.addr + buffer_offset;
}

static struct blkio *open_disk(const char *path, int queues, uint64_t *size)
{
	struct blkio *blkio;
	uint8_t *buffers;

	check(blkio_create("virtio-blk-vhost-user", &blkio), "driver");
	check(blkio_set_str(blkio, "path", path), path);
	check(blkio_connect(blkio), "connect");
	check(blkio_get_uint64(blkio, "capacity", size), "capacity");
	check(blkio_set_int(blkio, "num-queues", queues), "num-queues");
	check(blkio_start(blkio), "start");
	want(*size >= part_count * (uint64_t)BLOCKS * BLOCK, "the disk is too small");
	buffers = alloc_buffers(blkio, part_count * SLOTS * BLOCKS_MAX * BLOCK);
	for (unsigned int i = 0; i < part_count * SLOTS; i++)
		parts[i / SLOTS].slots[i % SLOTS].data = buffers + i * BLOCKS_MAX * BLOCK;
	return blkio;
}

static void open_part(struct part *part, struct blkio *blkio, unsigned int index)
{
	part->queue = blkio_get_queue(blkio, (int)index);
	part->first = index * (uint64_t)BLOCKS;
	part->random = 88172645463325252ull + index;
	memset(part->generation, 0xff, sizeof(part->generation));
}

int main(int argc, char **argv)
{
	pthread_t threads[QUEUES_MAX];
	struct blkio *blkio;
	uint64_t size;
	int block;

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: blkio_verify SOCKET QUEUES REQUESTS [OFFSET]\n");
		return 2;
	}
	part_count = MIN((unsigned int)atoi(argv[2]), QUEUES_MAX);
	until = strchr(argv[3], '/') ? argv[3] : NULL;
	buffer_offset = argc == 5 ? strtoul(argv[4], NULL, 0) % BLOCK : 0;
	where("blkio_verify");
	blkio = open_disk(argv[1], (int)part_count, &size);
	check(blkio_get_int(blkio, "request-alignment", &block), "request-alignment");
	for (unsigned int i = 0; i < part_count; i++) {
		parts[i].requests = until ? UINT64_MAX : strtoull(argv[3], NULL, 0);
		open_part(&parts[i], blkio, i);
		must(-pthread_create(&threads[i], NULL, run_part, &parts[i]), "thread");
	}
	for (unsigned int i = 0; i < part_count; i++)
		pthread_join(threads[i], NULL);
	blkio_destroy(&blkio);
	printf("%u queues, %s requests each: size %" PRIu64 ", block %d\n", part_count, argv[3],
	       size, block);
	return 0;
}
