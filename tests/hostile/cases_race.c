// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that changes between two looks: a thread scribbles while the server reads. */
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>

#include "hostile.h"

#define RACE_MS 700u
#define CHAINS	32u

struct race {
	struct driver *d;
	void (*scribble)(struct driver *d, unsigned int n);
	bool over;
};

static void *scribbler(void *arg)
{
	struct race *race = arg;

	for (unsigned int n = 0; !__atomic_load_n(&race->over, __ATOMIC_RELAXED); n++)
		race->scribble(race->d, n);
	return NULL;
}

/* Length, direction, place and order of descriptors flip, each value a fair one by itself. */
static void scribble_descs(struct driver *d, unsigned int n)
{
	struct vring_desc *desc = &d->ring[0].desc[n % (CHAINS * 3)];
	static const uint16_t flags[] = { 0, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
					  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
					  VRING_DESC_F_INDIRECT };

	store_relaxed(&desc->flags, htole16(flags[n % ARRAY_SIZE(flags)]));
	store_relaxed(&desc->len, htole32(n % 7 * 512));
	store_relaxed(&desc->addr, htole64(n % 11 ? driver_iova(d, 0, AT_DATA) : NOWHERE_IOVA));
	store_relaxed(&desc->next, htole16((uint16_t)(n * 5 % (d->ring[0].num + 1u))));
}

static void scribble_headers(struct driver *d, unsigned int n)
{
	struct virtio_blk_outhdr *header = (void *)driver_mem(d, 0, AT_HEADER);
	static const uint64_t sectors[] = { 0, 8, UINT64_MAX, UINT64_MAX / 512 };

	store_relaxed(&header->type, htole32(n % 16));
	store_relaxed(&header->sector, htole64(sectors[n % ARRAY_SIZE(sectors)]));
}

/* The chains are indirect, as driver_offer_read() does not make them: table and reader race. */
static void scribble_tables(struct driver *d, unsigned int n)
{
	struct vring_desc *table = (void *)driver_mem(d, 0, AT_TABLE);
	struct vring_desc *head = &d->ring[0].desc[n % CHAINS * 3];

	store_relaxed(&table[n % 16].next, htole16((uint16_t)(n % 19)));
	store_relaxed(&table[n % 16].flags, htole16((uint16_t)(n % 8)));
	store_relaxed(&table[n % 16].len, htole32(n % 5 * 512 + n % 3));
	store_relaxed(&table[n % 16].addr, htole64(driver_iova(d, 0, AT_DATA)));
	store_relaxed(&head->addr, htole64(driver_iova(d, 0, AT_TABLE)));
	store_relaxed(&head->len, htole32(n % 2 ? 256 : 16));
	store_relaxed(&head->flags, htole16(VRING_DESC_F_INDIRECT));
}

static void scribble_avail(struct driver *d, unsigned int n)
{
	struct vring_avail *avail = d->ring[0].avail;

	store_relaxed(&avail->ring[n % d->ring[0].num], htole16((uint16_t)(n * 3 % 96)));
	if (n % 64 == 0)
		store_relaxed(&avail->idx, htole16((uint16_t)(avail->idx + n % 3)));
	store_relaxed(&avail->flags, htole16((uint16_t)(n & 1)));
}

static void scribble_used(struct driver *d, unsigned int n)
{
	struct vring_used *used = d->ring[0].used;

	store_relaxed(&used->idx, htole16((uint16_t)n));
	store_relaxed(&used->flags, htole16((uint16_t)n));
	store_relaxed(&used->ring[n % d->ring[0].num].id, htole32(n));
}

/* Anything may happen to these chains, and to this queue; a round that is not over is given up. */
static void one_round(struct driver *d)
{
	struct ring *ring = &d->ring[0];
	struct vring_used_elem elem;

	for (uint16_t i = 0; i < CHAINS; i++)
		driver_offer_read(d, 0, (uint16_t)(i * 3));
	ring_publish(ring);
	for (unsigned int i = 0; i < CHAINS; i++)
		if (!ring_wait(ring, &elem, 10))
			return;
}

static const struct {
	void (*scribble)(struct driver *d, unsigned int n);
	bool event_idx;
} scribbles[] = {
	{ scribble_descs, false }, { scribble_headers, false }, { scribble_tables, false },
	{ scribble_avail, false }, { scribble_avail, true },	{ scribble_used, false },
};

static void race(struct bench *bench, uint64_t which)
{
	struct driver *d = &bench->victim;
	struct race race = { .d = d, .scribble = scribbles[which].scribble };
	uint64_t end = now_ms() + RACE_MS;
	uint64_t features = d->features;
	pthread_t thread;

	if (scribbles[which].event_idx)
		d->features |= d->offered & 1ull << VIRTIO_RING_F_EVENT_IDX;
	driver_start(d);
	if (pthread_create(&thread, NULL, scribbler, &race))
		fail("no thread");
	while (now_ms() < end) {
		driver_start(d);
		for (unsigned int n = 0; n < 4; n++)
			one_round(d);
		driver_good(d, 1);
		driver_good(&bench->other, 0);
	}
	__atomic_store_n(&race.over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	d->features = features;
}

const struct hostile_case race_cases[] = {
	{ .name = "race-descriptors", .run = race, .arg = 0 },
	{ .name = "race-headers", .run = race, .arg = 1 },
	{ .name = "race-tables", .run = race, .arg = 2 },
	{ .name = "race-avail", .run = race, .arg = 3 },
	{ .name = "race-avail-event", .run = race, .arg = 4 },
	{ .name = "race-used", .run = race, .arg = 5 },
	{ 0 },
};
