// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random rings: well-formed requests with a few things changed, and pure noise.
 *
 * Chains come in batches, one kick each. What a batch is depends on the seed and its number alone,
 * so a failure can be looked at without what came before it, where that was not the cause. As long
 * as the ring itself is sound, every chain must come back, whatever is in it.
 */
#include <endian.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>

#include "hostile.h"

#define CHAINS	    32u /* in a batch, at most */
#define CHAIN_DESCS 8u
#define GOOD_EVERY  2048u /* chains */
#define SAY_EVERY   250000u
#define WILD_MS	    20u /* how long to wait for what may never come */

/* Where the writable part of a chain ends up is not known, so only damage is planned exactly. */
struct plan {
	uint32_t chains;
	uint32_t expected; /* that must come back */
	bool wild;	   /* the device may be told to write into its rings */
	bool restart;	   /* after it */
};

struct dice {
	uint64_t state;
};

/* splitmix64: every state is a good one, so seed and number need not be chosen. */
static uint64_t roll(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t below(struct dice *dice, uint32_t limit)
{
	return (uint32_t)(roll(dice) % limit);
}

static bool one_in(struct dice *dice, uint32_t n)
{
	return below(dice, n) == 0;
}

static uint32_t random_len(struct dice *dice)
{
	static const uint32_t common[] = { 0,	1,   2,	  15,  16,   17,   31,	 32,
					   511, 512, 513, 520, 1024, 4096, 4097, 8192 };
	static const uint32_t rare[] = { 65536, DATA_BYTES, DATA_BYTES + 1, 1u << 31, UINT32_MAX };

	if (one_in(dice, 64))
		return one_in(dice, 4) ? (uint32_t)roll(dice) : rare[below(dice, ARRAY_SIZE(rare))];
	return common[below(dice, ARRAY_SIZE(common))];
}

static uint64_t random_iova(const struct driver *d, struct dice *dice, bool wild)
{
	const uint64_t places[] = {
		driver_iova(d, 0, AT_HEADER),
		driver_iova(d, 0, AT_STATUS),
		driver_iova(d, 0, AT_TABLE),
		driver_iova(d, 0, AT_DATA),
		RO_IOVA,
		WO_IOVA,
		SPLIT_IOVA,
		SPLIT_IOVA + SPLIT_BORDER - 256,
		TOP_IOVA,
		TOP_IOVA + AREA_BYTES - 512,
		SPARE_IOVA,
		NOWHERE_IOVA,
		0,
	};

	if (wild && one_in(dice, 4))
		return driver_iova(d, 0, 0) + below(dice, RING_BYTES);
	if (one_in(dice, 32))
		return roll(dice) | 1ull << 63; /* far from the rings */
	return places[below(dice, ARRAY_SIZE(places))] + below(dice, 4) * 256;
}

static uint16_t random_flags(struct dice *dice)
{
	if (one_in(dice, 16))
		return (uint16_t)roll(dice);
	return (uint16_t)below(dice, 4) | (one_in(dice, 16) ? VRING_DESC_F_INDIRECT : 0);
}

static struct vring_desc random_desc(const struct driver *d, struct dice *dice, bool wild)
{
	return ring_desc(random_iova(d, dice, wild), random_len(dice), random_flags(dice),
			 (uint16_t)below(dice, d->ring[0].num + 2u));
}

static void random_header(struct driver *d, struct dice *dice, uint32_t at)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN,	VIRTIO_BLK_T_OUT,
					  VIRTIO_BLK_T_FLUSH,	VIRTIO_BLK_T_GET_ID,
					  VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	uint32_t type = one_in(dice, 16) ? (uint32_t)roll(dice)
					 : types[below(dice, ARRAY_SIZE(types))];
	uint64_t sector = one_in(dice, 8) ? roll(dice) : roll(dice) % (d->sectors + 8);

	driver_header(d, 0, at, type, sector);
}

/* A request as it should be: header, up to five pieces of data, status. Return: descriptors */
static uint32_t draw_request(struct driver *d, struct dice *dice, uint32_t slot,
			     struct vring_desc *to, uint16_t first)
{
	uint32_t pieces = below(dice, CHAIN_DESCS - 2), n = 0;
	uint16_t in = one_in(dice, 2) ? VRING_DESC_F_WRITE : 0;
	uint32_t at_header = AT_HEADER + slot * 16;

	random_header(d, dice, at_header);
	to[n] = ring_desc(driver_iova(d, 0, at_header), 16, VRING_DESC_F_NEXT, first + 1);
	for (n = 1; n <= pieces; n++)
		to[n] = ring_desc(driver_iova(d, 0, AT_DATA) + below(dice, 64) * 4096,
				  one_in(dice, 4) ? random_len(dice) : 512, VRING_DESC_F_NEXT | in,
				  (uint16_t)(first + n + 1));
	to[n] = ring_desc(driver_iova(d, 0, AT_STATUS + slot), 1, VRING_DESC_F_WRITE, 0);
	return n + 1;
}

static void mutate(struct driver *d, struct dice *dice, struct vring_desc *desc, bool wild)
{
	struct vring_desc other = random_desc(d, dice, wild);

	switch (below(dice, 6)) {
	case 0:
		desc->addr = other.addr;
		break;
	case 1:
		desc->len = other.len;
		break;
	case 2:
		desc->flags = other.flags;
		break;
	case 3:
		desc->next = other.next;
		break;
	case 4:
		*desc = other;
		break;
	case 5:
		/* Not in the address: that could be one of the rings. */
		desc->len ^= htole32(1u << below(dice, 32));
		break;
	}
}

static void draw_chain(struct driver *d, struct dice *dice, uint32_t slot, bool wild)
{
	uint16_t head = (uint16_t)(slot * CHAIN_DESCS);
	uint32_t at_table = AT_TABLE + slot * CHAIN_DESCS * 16, count = CHAIN_DESCS;
	struct vring_desc *direct = &d->ring[0].desc[head], *to = direct;
	bool indirect = one_in(dice, 2);

	if (indirect)
		to = (struct vring_desc *)driver_mem(d, 0, at_table);
	if (one_in(dice, 4)) {
		for (uint32_t i = 0; i < CHAIN_DESCS; i++)
			to[i] = random_desc(d, dice, wild);
	} else {
		count = draw_request(d, dice, slot, to, indirect ? 0 : head);
		for (uint32_t n = below(dice, 4); n; n--)
			mutate(d, dice, &to[below(dice, count)], wild);
	}
	if (!indirect)
		return;
	*direct = ring_desc(driver_iova(d, 0, at_table), count * 16, VRING_DESC_F_INDIRECT, 0);
	if (one_in(dice, 16))
		mutate(d, dice, direct, wild);
}

/* Damages the ring itself: what was offered before it is served, and then nothing more. */
static void damage(struct driver *d, struct dice *dice, struct plan *plan)
{
	struct ring *ring = &d->ring[0];

	plan->restart = true;
	switch (below(dice, 4)) {
	case 0:
		ring_offer(ring, (uint16_t)(ring->num + below(dice, UINT16_MAX - ring->num)));
		break;
	case 1:
		ring_offer(ring, 0); /* a second time, where anything is in flight */
		break;
	case 2:
		ring->next_avail += ring->num + 1u;
		plan->expected = 0;
		break;
	case 3:
		ring->next_avail = (uint16_t)roll(dice);
		plan->expected = 0;
		break;
	}
}

/* Memory comes and goes beside the rings; chains point there as well. */
static void change_memory(struct driver *d, struct dice *dice)
{
	static bool mapped;
	static struct area spare;

	if (!spare.addr)
		spare = area_new(AREA_BYTES);
	if (mapped)
		must(vhost_unmap(d->fd, SPARE_IOVA, AREA_BYTES), "VHOST_IOTLB_INVALIDATE");
	else
		must(vhost_map(d->fd, SPARE_IOVA, AREA_BYTES, spare.addr,
			       (uint8_t)(1 + below(dice, 3))),
		     "VHOST_IOTLB_UPDATE");
	mapped = !mapped;
}

static struct plan draw_batch(struct driver *d, struct dice *dice)
{
	struct plan plan = { .chains = 1 + below(dice, CHAINS) };

	plan.wild = one_in(dice, 128);
	for (uint32_t slot = 0; slot < plan.chains; slot++) {
		draw_chain(d, dice, slot, plan.wild);
		ring_offer(&d->ring[0], (uint16_t)(slot * CHAIN_DESCS));
	}
	plan.expected = plan.chains;
	if (one_in(dice, 64))
		damage(d, dice, &plan);
	return plan;
}

/* Return: how many of them were served; what a wild batch says counts for nothing */
static uint32_t reap(struct driver *d, const struct plan *plan)
{
	unsigned int ms = plan->wild ? WILD_MS : ANSWER_MS;
	uint32_t seen = 0; /* a bit per slot */
	uint32_t served = 0;
	struct vring_used_elem elem;

	for (uint32_t n = 0; n < plan->expected; n++) {
		if (!ring_wait(&d->ring[0], &elem, ms)) {
			if (plan->wild)
				return 0;
			fail("%u of %u chains do not come back", plan->expected - n, plan->chains);
		}
		if (plan->wild)
			continue;
		if (elem.id % CHAIN_DESCS || elem.id / CHAIN_DESCS >= plan->chains ||
		    seen >> elem.id / CHAIN_DESCS & 1)
			fail("head %u comes back, which is not in flight", elem.id);
		seen |= 1u << elem.id / CHAIN_DESCS;
		served += elem.len > 0;
	}
	return served;
}

/* With other features each time. */
static void restart(struct driver *d, struct dice *dice)
{
	const uint64_t optional = 1ull << VIRTIO_RING_F_EVENT_IDX |
				  1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_FLUSH |
				  1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	uint64_t drop = one_in(dice, 4) ? roll(dice) & optional : 0;

	d->features = (d->features | (d->offered & optional)) & ~drop;
	driver_start(d);
}

static uint32_t run_batch(struct driver *d, struct dice *dice, uint64_t *served)
{
	struct plan plan = draw_batch(d, dice);

	if (one_in(dice, 64)) {
		change_memory(d, dice);
		ring_publish(&d->ring[0]);
		if (one_in(dice, 2))
			change_memory(d, dice);
	} else {
		ring_publish(&d->ring[0]);
	}
	if (one_in(dice, 128))
		plan.restart = true; /* with all of it in flight */
	else
		*served += reap(d, &plan);
	if (plan.restart || plan.wild)
		restart(d, dice);
	return plan.chains;
}

void random_run(struct bench *bench, struct random_job *job)
{
	struct driver *d = &bench->victim;
	uint64_t good_at = 0, say_at = SAY_EVERY, batch = job->first;

	driver_map_quirks(d);
	if (d->ring_max < CHAINS * CHAIN_DESCS)
		fail("a ring of %u is too small", d->ring_max);
	for (uint64_t done = 0; done < job->count; batch++) {
		struct dice dice = { .state = job->seed * 0x9e3779b97f4a7c15ull ^ batch << 1 };

		where("random: seed %" PRIu64 ", batch %" PRIu64, job->seed, batch);
		if (done >= good_at) {
			restart(d, &dice);
			driver_good(d, 0);
			driver_good(d, 1);
			driver_good(&bench->other, 0);
			good_at = done + GOOD_EVERY;
		}
		if (done >= say_at) {
			printf("%" PRIu64 " chains\n", done);
			fflush(stdout);
			say_at += SAY_EVERY;
		}
		done += run_batch(d, &dice, &job->served);
	}
}
