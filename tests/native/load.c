// SPDX-License-Identifier: GPL-2.0-or-later
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirty_log.h"
#include "native.h"
#include "time_ns.h"

#define SECTORS		   (LOAD_BLOCK / 512)
#define BLOCKS_MAX	   (VUG_DATA_MAX / LOAD_BLOCK) /* of a request */
#define GENERATION_UNKNOWN UINT32_MAX
#define TRIES		   64u /* to find blocks that are not busy */

static uint64_t roll(struct load *load)
{
	/* splitmix64 */
	uint64_t z = load->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t word_of(uint64_t block, uint32_t generation, unsigned int i)
{
	return (block << 32 | generation) * 0x9e3779b97f4a7c15ull + i;
}

static void fill_block(uint8_t *bytes, uint64_t block, uint32_t generation)
{
	uint64_t *words = (uint64_t *)bytes;

	words[0] = block;
	words[1] = generation;
	for (unsigned int i = 2; i < LOAD_BLOCK / 8; i++)
		words[i] = word_of(block, generation, i);
}

static void check_zeroes(const uint64_t *words, uint64_t block)
{
	for (unsigned int i = 0; i < LOAD_BLOCK / 8; i++)
		want(!words[i], "block %" PRIu64 " must be zeroes, and has %#" PRIx64 " at %u",
		     block, words[i], i * 8);
}

static void check_block(const uint8_t *bytes, uint64_t block, uint32_t generation)
{
	const uint64_t *words = (const uint64_t *)bytes;

	if (generation == GENERATION_UNKNOWN)
		return;
	if (!generation) {
		check_zeroes(words, block);
		return;
	}
	want(words[0] == block && words[1] == generation,
	     "block %" PRIu64 " must be of generation %u, and has block %" PRIu64
	     " of generation %" PRIu64,
	     block, generation, words[0], words[1]);
	for (unsigned int i = 2; i < LOAD_BLOCK / 8; i++)
		want(words[i] == word_of(block, generation, i),
		     "block %" PRIu64 " of generation %u is torn at byte %u", block, generation,
		     i * 8);
}

void load_init(struct load *load, struct session *s, uint64_t first, uint64_t blocks, bool zeroes)
{
	*load = (struct load){ .s = s,
			       .first = first,
			       .blocks = blocks,
			       .generation = calloc(blocks, sizeof(*load->generation)),
			       .busy = calloc(blocks, sizeof(*load->busy)),
			       .random = first + blocks,
			       .depth = VUG_SLOTS_MAX,
			       .read_only = session_has(s, VIRTIO_BLK_F_RO) };
	want(load->generation && load->busy, "no memory");
	if (!zeroes)
		memset(load->generation, 0xff, blocks * sizeof(*load->generation));
}

void load_exit(struct load *load)
{
	free(load->generation);
	free(load->busy);
}

/* What the slot remembers: its blocks, counted from load->first, and the generation of a write. */
static uint64_t pack(uint64_t block, uint32_t count, uint32_t generation)
{
	return block << 40 | (uint64_t)count << 32 | generation;
}

static uint64_t block_of(const struct vug_slot *slot)
{
	return slot->user >> 40;
}

static uint32_t count_of(const struct vug_slot *slot)
{
	return slot->user >> 32 & 0xff;
}

static bool is_free(const struct load *load, uint64_t block, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (load->busy[block + i])
			return false;
	return true;
}

/* Return: blocks that no request in flight touches, or false */
static bool choose_blocks(struct load *load, uint64_t *block, uint32_t *count)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		*count = (uint32_t)(roll(load) % 4 ? 1 + roll(load) % 4
						   : 1 + roll(load) % BLOCKS_MAX);
		*block = roll(load) % (load->blocks - *count + 1);
		if (is_free(load, *block, *count))
			return true;
	}
	return false;
}

static void set_busy(struct load *load, uint64_t block, uint32_t count, bool busy)
{
	for (uint32_t i = 0; i < count; i++)
		load->busy[block + i] = busy;
}

static uint32_t choose_type(struct load *load)
{
	unsigned int dice = roll(load) % 64;

	if (load->read_only)
		return dice == 0 ? VIRTIO_BLK_T_GET_ID : VIRTIO_BLK_T_IN;
	if (dice < 2)
		return session_has(load->s, VIRTIO_BLK_F_FLUSH) ? VIRTIO_BLK_T_FLUSH
								: VIRTIO_BLK_T_IN;
	if (dice == 2)
		return session_has(load->s, VIRTIO_BLK_F_DISCARD) ? VIRTIO_BLK_T_DISCARD
								  : VIRTIO_BLK_T_OUT;
	if (dice == 3)
		return session_has(load->s, VIRTIO_BLK_F_WRITE_ZEROES) ? VIRTIO_BLK_T_WRITE_ZEROES
								       : VIRTIO_BLK_T_OUT;
	if (dice == 4)
		return VIRTIO_BLK_T_GET_ID;
	return dice % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
}

static void offer_write(struct load *load, struct vug_queue *q, struct vug_slot *slot)
{
	uint64_t block = block_of(slot);
	uint32_t count = count_of(slot), generation = (uint32_t)(load->offered + 1);

	for (uint32_t i = 0; i < count; i++)
		fill_block(slot->data + i * LOAD_BLOCK, load->first + block + i, generation);
	slot->user = pack(block, count, generation);
	vug_offer(q, slot, VIRTIO_BLK_T_OUT, (load->first + block) * SECTORS, count * LOAD_BLOCK);
}

static void offer_blocks(struct load *load, struct vug_queue *q, struct vug_slot *slot,
			 uint32_t type)
{
	uint64_t sector = (load->first + block_of(slot)) * SECTORS;
	uint32_t count = count_of(slot);

	if (type == VIRTIO_BLK_T_OUT)
		offer_write(load, q, slot);
	else if (type == VIRTIO_BLK_T_IN)
		vug_offer(q, slot, type, sector, count * LOAD_BLOCK);
	else
		vug_offer_range(q, slot, type, sector, count * SECTORS);
}

/* Return: false: no slot, or no blocks */
static bool offer_one(struct load *load, struct vug_queue *q)
{
	struct vug_slot *slot = q->busy < load->depth ? vug_slot_get(q) : NULL;
	uint32_t type, count;
	uint64_t block;

	if (!slot)
		return false;
	type = choose_type(load);
	slot->user = 0;
	if (load->log)
		dirty_log_clear(load->log, slot);
	if (type == VIRTIO_BLK_T_FLUSH) {
		vug_offer(q, slot, type, 0, 0);
	} else if (type == VIRTIO_BLK_T_GET_ID) {
		vug_offer(q, slot, type, 0, VUG_ID_BYTES);
	} else {
		if (!choose_blocks(load, &block, &count))
			return false;
		set_busy(load, block, count, true);
		slot->user = pack(block, count, 0);
		offer_blocks(load, q, slot, type);
	}
	load->offered++;
	return true;
}

static void check_read(const struct load *load, const struct vug_slot *slot)
{
	uint64_t block = block_of(slot);

	for (uint32_t i = 0; i < count_of(slot); i++)
		check_block(slot->data + i * LOAD_BLOCK, load->first + block + i,
			    load->generation[block + i]);
}

static void set_generation(struct load *load, const struct vug_slot *slot, uint32_t generation)
{
	for (uint32_t i = 0; i < count_of(slot); i++)
		load->generation[block_of(slot) + i] = generation;
}

static void finish(struct load *load, const struct vug_slot *slot)
{
	want(slot->status == VIRTIO_BLK_S_OK,
	     "request of type %u at sector %" PRIu64 " ended with status %u", slot->type,
	     slot->sector, slot->status);
	switch (slot->type) {
	case VIRTIO_BLK_T_IN:
		check_read(load, slot);
		load->reads++;
		break;
	case VIRTIO_BLK_T_OUT:
		set_generation(load, slot, (uint32_t)slot->user);
		load->writes++;
		break;
	case VIRTIO_BLK_T_FLUSH:
		load->flushes++;
		break;
	case VIRTIO_BLK_T_DISCARD:
		set_generation(load, slot, GENERATION_UNKNOWN);
		load->ranges++;
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		set_generation(load, slot, 0);
		load->ranges++;
		break;
	}
	set_busy(load, block_of(slot), count_of(slot), false);
	load->done++;
}

/* Return: how many came back */
static unsigned int reap_queue(struct load *load, struct vug_queue *q)
{
	struct vug_slot *slot;
	unsigned int count = 0;
	int got;

	while ((got = vug_reap(q, &slot)) == 1) {
		if (load->log)
			dirty_log_check(load->log, q, slot);
		finish(load, slot);
		count++;
	}
	want(got == 0, "queue %u: a used entry that is none of ours, or its length is wrong",
	     q->index);
	return count;
}

static unsigned int reap_all(struct load *load)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < load->s->queue_count; i++)
		count += reap_queue(load, &load->s->queues[i]);
	return count;
}

void load_reap(struct load *load)
{
	reap_all(load);
}

unsigned int load_in_flight(const struct load *load)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < load->s->queue_count; i++)
		count += load->s->queues[i].busy;
	return count;
}

static void forget_queue(struct load *load, const struct vug_queue *q)
{
	for (unsigned int i = 0; i < VUG_SLOTS_MAX; i++) {
		const struct vug_slot *slot = &q->slots[i];

		if (!slot->busy)
			continue;
		if (slot->type != VIRTIO_BLK_T_IN)
			set_generation(load, slot, GENERATION_UNKNOWN);
		set_busy(load, block_of(slot), count_of(slot), false);
		load->done++;
	}
}

void load_forget(struct load *load)
{
	for (unsigned int i = 0; i < load->s->queue_count; i++)
		forget_queue(load, &load->s->queues[i]);
}

/* In turn over the queues, which get different numbers in each round. */
static void offer_up_to(struct load *load, uint64_t end)
{
	for (unsigned int i = 0; i < load->s->queue_count; i++) {
		struct vug_queue *q = &load->s->queues[i];
		unsigned int batch = 1 + roll(load) % 8;

		while (load->offered < end && batch-- && offer_one(load, q))
			;
		if (q->published != q->next_avail)
			vug_publish(q);
	}
}

void load_offer(struct load *load, unsigned int count)
{
	uint64_t end = load->offered + count, before;

	do {
		before = load->offered;
		offer_up_to(load, end);
	} while (load->offered < end && load->offered != before);
}

static bool arm_all(struct load *load)
{
	bool ready = false;

	for (unsigned int i = 0; i < load->s->queue_count; i++)
		ready |= vug_arm(&load->s->queues[i]);
	return ready;
}

/*
 * Sleeps until a queue is interrupted or the connection is closed. Return: 0; -ECONNRESET; the
 * program ends where neither comes.
 */
static int sleep_for_irq(struct load *load)
{
	struct pollfd polls[QUEUES_MAX + 1];
	unsigned int count = load->s->queue_count;
	bool closed;

	for (unsigned int i = 0; i < count; i++)
		polls[i] = (struct pollfd){ .fd = load->s->queues[i].call_fd, .events = POLLIN };
	polls[count] = (struct pollfd){ .fd = load->s->c.fd, .events = POLLRDHUP };
	if (poll(polls, count + 1, PATIENCE_MS) == 0)
		fail("%u requests in flight, and %s in %u s", load_in_flight(load),
		     arm_all(load) ? "no interrupt though some have come back" : "none came back",
		     PATIENCE_MS / 1000);
	closed = polls[count].revents;
	for (unsigned int i = 0; i < count; i++)
		vug_irq_clear(&load->s->queues[i]);
	return closed ? -ECONNRESET : 0;
}

static int run_until(struct load *load, uint64_t end)
{
	int err = 0;

	while (!err && (load->offered < end || load_in_flight(load))) {
		offer_up_to(load, end);
		if (reap_all(load) || arm_all(load))
			continue;
		err = sleep_for_irq(load);
	}
	return err;
}

int load_run(struct load *load, uint64_t count)
{
	return run_until(load, load->offered + count);
}

int load_drain(struct load *load)
{
	return run_until(load, load->offered);
}

/* One read of as many blocks as fit, alone in its queue. */
static int verify_at(struct load *load, uint64_t block)
{
	struct vug_queue *q = &load->s->queues[block / BLOCKS_MAX % load->s->queue_count];
	uint32_t count = (uint32_t)MIN(BLOCKS_MAX, load->blocks - block);
	struct vug_slot *slot = vug_slot_get(q);

	want(slot, "no slot");
	slot->user = pack(block, count, 0);
	set_busy(load, block, count, true);
	offer_blocks(load, q, slot, VIRTIO_BLK_T_IN);
	load->offered++;
	vug_publish(q);
	return load_drain(load);
}

int load_verify(struct load *load)
{
	int err = load_drain(load);

	for (uint64_t block = 0; !err && block < load->blocks; block += BLOCKS_MAX)
		err = verify_at(load, block);
	return err;
}

void load_verify_file(const struct load *load, const char *image)
{
	uint8_t bytes[LOAD_BLOCK] __attribute__((aligned(8)));
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	want(fd >= 0, "%s: %s", image, strerror(errno));
	for (uint64_t i = 0; i < load->blocks; i++) {
		want(pread(fd, bytes, sizeof(bytes), (off_t)((load->first + i) * LOAD_BLOCK)) ==
			     sizeof(bytes),
		     "%s is too short", image);
		check_block(bytes, load->first + i, load->generation[i]);
	}
	close(fd);
}
