// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resets with a ring full of requests at a store that ends none of them in time.
 *
 * Generations take turns with two queues, each with memory of its own. After a reset the memory of
 * the generation that is over is filled with a pattern, the next one uses the other queue, and when
 * that one has been reset as well all I/O of the first must have ended: nothing may have changed
 * the pattern. What the requests wrote is there, of the right generation, and what they read is
 * what the disk has.
 */
#include "resets.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

#define IN_FLIGHT     128u
#define CHUNK	      4096u
#define CHUNK_SECTORS (CHUNK / 512)
#define FILL_MS	      20000u /* how long to wait until all requests are at the store */
#define ROUND_SECONDS 60

struct resets {
	struct driver driver;
	const char *inflight;	   /* of the store's disk, in sysfs */
	uint64_t least[IN_FLIGHT]; /* by write: a generation whose write had succeeded */
	uint64_t full;		   /* rounds in which every request was at the store */
	uint64_t most;		   /* requests that were at the store at once */
	uint64_t unanswered;	   /* requests in flight when a reset began */
};

/* The first half of the disk's chunks are read and never change, the second half are written. */
static uint64_t chunk_sector(uint32_t i)
{
	return (uint64_t)i * CHUNK_SECTORS;
}

static bool is_write(uint32_t i)
{
	return i >= IN_FLIGHT / 2;
}

static uint8_t *chunk_memory(struct driver *d, uint32_t queue, uint32_t i)
{
	return driver_mem(d, queue, AT_DATA + i * CHUNK);
}

static uint64_t stamp(uint32_t i, uint64_t generation)
{
	return generation << 16 | i;
}

static void stamp_chunk(uint8_t *chunk, uint32_t i, uint64_t generation)
{
	uint64_t word = stamp(i, generation);

	for (size_t at = 0; at < CHUNK; at += sizeof(word))
		memcpy(chunk + at, &word, sizeof(word));
}

/* Which generation wrote it; ends the process where it is not one chunk of one generation. */
static uint64_t chunk_generation(const uint8_t *chunk, uint32_t i)
{
	uint64_t first, word;

	memcpy(&first, chunk, sizeof(first));
	for (size_t at = 0; at < CHUNK; at += sizeof(word)) {
		memcpy(&word, chunk + at, sizeof(word));
		if (word != first || (word & 0xffff) != i)
			fail("chunk %u has 0x%" PRIx64 " at %zu", i, word, at);
	}
	return first >> 16;
}

static void offer(struct driver *d, uint32_t queue, uint32_t i, uint32_t type)
{
	uint16_t head = (uint16_t)(i * 3);
	uint16_t in = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;
	uint32_t at_header = AT_HEADER + i * sizeof(struct virtio_blk_outhdr);
	struct vring_desc *desc = d->ring[queue].desc + head;

	*driver_mem(d, queue, AT_STATUS + i) = POISON;
	driver_header(d, queue, at_header, type, chunk_sector(i));
	desc[0] = ring_desc(driver_iova(d, queue, at_header), sizeof(struct virtio_blk_outhdr),
			    VRING_DESC_F_NEXT, head + 1);
	desc[1] = ring_desc(driver_iova(d, queue, AT_DATA + i * CHUNK), CHUNK,
			    VRING_DESC_F_NEXT | in, head + 2);
	desc[2] = ring_desc(driver_iova(d, queue, AT_STATUS + i), 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&d->ring[queue], head);
}

static uint32_t answered(const struct vring_used_elem *elem)
{
	uint32_t i = elem->id / 3;

	if (elem->id % 3 || i >= IN_FLIGHT)
		fail("head %u came back, which was not offered", elem->id);
	return i;
}

static uint8_t status_of(struct driver *d, uint32_t queue, uint32_t i)
{
	return *driver_mem(d, queue, AT_STATUS + i);
}

/* All chunks in one direction, and all answered. */
static void transfer(struct driver *d, uint32_t type)
{
	struct vring_used_elem elem;

	driver_start(d);
	for (uint32_t i = 0; i < IN_FLIGHT; i++)
		offer(d, 0, i, type);
	ring_publish(&d->ring[0]);
	for (uint32_t n = 0; n < IN_FLIGHT; n++) {
		if (!ring_wait(&d->ring[0], &elem, ANSWER_MS))
			fail("%u requests have no answer", IN_FLIGHT - n);
		if (status_of(d, 0, answered(&elem)) != VIRTIO_BLK_S_OK)
			fail("request %u has failed", elem.id / 3);
	}
}

static uint64_t at_store(const struct resets *r)
{
	char text[64] = "";
	int fd = open(r->inflight, O_RDONLY | O_CLOEXEC);
	uint64_t reads = 0, writes = 0;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &reads, &writes) != 2)
		fail("cannot read %s", r->inflight);
	close(fd);
	return reads + writes;
}

/* Has a request completed? From then on fewer than all are at the store. */
static bool has_response(const struct ring *ring)
{
	return load_acquire(&ring->used->idx) != ring->last_used;
}

/* Mostly until nothing is left to take, and now and then at a moment before that. */
static void let_begin(struct resets *r, uint32_t queue, uint64_t n)
{
	uint64_t deadline = now_ms() + FILL_MS;

	if (n % 4 == 3) {
		usleep((useconds_t)(random() % 5000));
		return;
	}
	do {
		uint64_t count = at_store(r);

		r->most = MAX(r->most, count);
		if (count >= IN_FLIGHT) {
			r->full++;
			return;
		}
	} while (!has_response(&r->driver.ring[queue]) && now_ms() < deadline);
}

/* @reset: some may have been given up. Return: how many answers there are */
static uint32_t collect(struct resets *r, uint32_t queue, uint64_t n, bool reset)
{
	struct driver *d = &r->driver;
	struct vring_used_elem elem;
	uint32_t count = 0;

	for (; ring_reap(&d->ring[queue], &elem); count++) {
		uint32_t i = answered(&elem);
		uint8_t status = status_of(d, queue, i);

		if (reset && status == VIRTIO_BLK_S_IOERR)
			continue;
		if (status != VIRTIO_BLK_S_OK)
			fail("request %u has status %u", i, status);
		if (is_write(i))
			r->least[i] = n;
		else if (chunk_generation(chunk_memory(d, queue, i), i))
			fail("request %u read what was never written there", i);
	}
	return count;
}

/* The memory of a generation whose I/O must have ended. Its ring was made anew meanwhile. */
static void check_untouched(struct driver *d, uint32_t queue)
{
	const struct ring *ring = &d->ring[queue];
	const uint8_t *memory = driver_mem(d, queue, 0);
	static const struct vring_used_elem unused;

	for (size_t at = RING_BYTES; at < QUEUE_BYTES; at++)
		if (memory[at] != POISON)
			fail("0x%02x was written late, at 0x%zx", memory[at], at);
	if (ring->used->idx)
		fail("%u requests were answered late", ring->used->idx);
	for (uint16_t i = 0; i < ring->num; i++)
		if (memcmp(&ring->used->ring[i], &unused, sizeof(unused)))
			fail("used element %u was written late", i);
}

static void one_reset(struct resets *r, uint64_t n)
{
	struct driver *d = &r->driver;
	uint32_t queue = n % QUEUES, count;

	alarm(ROUND_SECONDS);
	where("reset %" PRIu64, n);
	driver_start(d);
	for (uint32_t i = 0; i < IN_FLIGHT; i++) {
		memset(chunk_memory(d, queue, i), POISON, CHUNK);
		if (is_write(i))
			stamp_chunk(chunk_memory(d, queue, i), i, n);
		offer(d, queue, i, is_write(i) ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
	}
	ring_publish(&d->ring[queue]);
	let_begin(r, queue, n);
	count = collect(r, queue, n, false);
	r->unanswered += IN_FLIGHT - count;
	must(vhost_set_status(d->fd, 0), "reset");
	/* What could not be cancelled was waited for and is answered, the rest has errors. */
	if (count + collect(r, queue, n, true) > IN_FLIGHT)
		fail("more answers than requests");
	memset(driver_mem(d, queue, RING_BYTES), POISON, QUEUE_BYTES - RING_BYTES);
	if (n > 1)
		check_untouched(d, !queue);
}

static void check_disk(struct resets *r, uint64_t count)
{
	struct driver *d = &r->driver;

	where("after %" PRIu64 " resets", count);
	alarm(ROUND_SECONDS);
	transfer(d, VIRTIO_BLK_T_IN);
	for (uint32_t i = 0; i < IN_FLIGHT; i++) {
		uint64_t generation = chunk_generation(chunk_memory(d, 0, i), i);

		if (generation < r->least[i] || generation > (is_write(i) ? count : 0))
			fail("chunk %u is of generation %" PRIu64 ", not %" PRIu64 " or later", i,
			     generation, r->least[i]);
	}
}

int resets_run(const char *node, const char *inflight, uint64_t count)
{
	static struct resets resets;
	struct resets *r = &resets;

	r->inflight = inflight;
	alarm(ROUND_SECONDS);
	driver_open(&r->driver, node);
	if (r->driver.ring_max < IN_FLIGHT * 3)
		fail("a ring of %u is too small", r->driver.ring_max);
	for (uint32_t i = 0; i < IN_FLIGHT; i++)
		stamp_chunk(chunk_memory(&r->driver, 0, i), i, 0);
	transfer(&r->driver, VIRTIO_BLK_T_OUT);
	for (uint64_t n = 1; n <= count; n++)
		one_reset(r, n);
	check_disk(r, count);
	printf("%" PRIu64 " resets with %" PRIu64 " requests in flight, %" PRIu64
	       " times %u at the store"
	       " (most: %" PRIu64 ")\n",
	       count, r->unanswered, r->full, IN_FLIGHT, r->most);
	return 0;
}
