// SPDX-License-Identifier: GPL-2.0-or-later
/* Rings that cannot be trusted: queue 0 stops until the reset, and nothing else does. */
#include <endian.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

#define KICKS 100000

/* What was good before the damage comes back. */
static void expect_used(struct bench *bench, unsigned int count)
{
	struct vring_used_elem elem;

	while (count--)
		if (!ring_wait(&bench->victim.ring[0], &elem, ANSWER_MS))
			fail("%u good requests before the damage have no answer", count + 1);
}

/* A queue that has stopped says nothing more, and its neighbours do not notice. */
static void expect_stopped(struct bench *bench)
{
	struct driver *d = &bench->victim;
	struct vring_used_elem elem;

	driver_good(d, 1);
	driver_good(&bench->other, 0);
	if (ring_wait(&d->ring[0], &elem, SILENCE_MS))
		fail("the queue goes on with head %u, length %u", elem.id, elem.len);
	ring_kick(&d->ring[0]);
	if (ring_wait(&d->ring[0], &elem, SILENCE_MS))
		fail("the queue goes on after a kick with head %u", elem.id);
}

/* A good request, then a head that cannot be, then a good one that must not be served. */
static void bad_head(struct bench *bench, uint64_t head)
{
	struct driver *d = &bench->victim;

	driver_start(d);
	driver_offer_read(d, 0, 0);
	ring_offer(&d->ring[0], (uint16_t)head);
	driver_offer_read(d, 0, 6);
	ring_publish(&d->ring[0]);
	expect_used(bench, 1);
	expect_stopped(bench);
}

static void head_is_size(struct bench *bench, uint64_t unused)
{
	(void)unused;
	bad_head(bench, bench->victim.ring_max);
}

/* By how much the index moves after a good request, 0: by a ring and one. */
static void avail_moves(struct bench *bench, uint64_t by)
{
	struct driver *d = &bench->victim;

	driver_start(d);
	driver_good(d, 0);
	d->ring[0].next_avail += (uint16_t)(by ? by : d->ring_max + 1u);
	ring_publish(&d->ring[0]);
	expect_stopped(bench);
}

/* The whole ring at once, each entry the same head. */
static void avail_full_of_one(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_start(d);
	driver_offer_read(d, 0, 0);
	for (uint32_t i = 1; i < d->ring_max; i++)
		ring_offer(&d->ring[0], 0);
	ring_publish(&d->ring[0]);
	expect_used(bench, 1);
	expect_stopped(bench);
}

/* Where the device began is not where the driver did. */
static void base_is_wrong(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	must(driver_negotiate(d), "FEATURES_OK");
	driver_set_queue(d, 0);
	driver_set_queue(d, 1);
	must(vhost_set_base(d->fd, 0, 30000), "VHOST_SET_VRING_BASE");
	must(driver_ok(d), "DRIVER_OK");
	ring_kick(&d->ring[0]);
	expect_stopped(bench);
}

/* The other way round: both begin just before the index wraps, and cross it. */
static void base_wraps(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_reset(d);
	ring_clear(&d->ring[0], 65530);
	must(driver_negotiate(d), "FEATURES_OK");
	driver_set_queue(d, 0);
	driver_set_queue(d, 1);
	must(driver_ok(d), "DRIVER_OK");
	for (int i = 0; i < 10; i++)
		driver_good(d, 0);
}

/* The used ring is the device's: what the driver writes there, it overwrites. */
static void used_ring_scribbled(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct ring *ring = &d->ring[0];

	(void)unused;
	driver_start(d);
	driver_good(d, 0);
	memset(ring->used, 0x5a, RING_BYTES - RING_USED);
	driver_offer_read(d, 0, 0);
	ring_publish(ring);
	for (uint64_t end = now_ms() + ANSWER_MS;
	     le16toh(load_acquire(&ring->used->idx)) == 0x5a5a;)
		if (now_ms() > end)
			fail("no answer into a used ring that was written to");
	driver_good(d, 1);
}

static void event_garbage(struct bench *bench, uint64_t unused)
{
	static const uint16_t events[] = { 0, 1, 2, 100, 0x7fff, 0x8000, 0xfffe, 0xffff };
	struct driver *d = &bench->victim;
	struct ring *ring = &d->ring[0];
	struct vring_used_elem elem;

	(void)unused;
	d->features |= d->offered & 1ull << VIRTIO_RING_F_EVENT_IDX;
	driver_start(d);
	for (unsigned int n = 0; n < 200; n++) {
		uint16_t *avail_event = (uint16_t *)&ring->used->ring[ring->num];

		ring->avail->ring[ring->num] = htole16(events[n % ARRAY_SIZE(events)]);
		ring->avail->flags = htole16((uint16_t)(n * 0x4321));
		*avail_event = htole16((uint16_t)(n * 0x1234));
		ring->used->flags = htole16((uint16_t)(n * 0x2143));
		driver_offer_read(d, 0, 0);
		ring_publish(ring);
		if (!ring_wait(ring, &elem, ANSWER_MS))
			fail("no answer with used_event %u", events[n % ARRAY_SIZE(events)]);
	}
	ring->avail->flags = 0;
}

static void avail_flags_garbage(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	struct vring_used_elem elem;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < 200; n++) {
		d->ring[0].avail->flags = htole16((uint16_t)(n * 0x4321));
		driver_offer_read(d, 0, 0);
		ring_publish(&d->ring[0]);
		if (!ring_wait(&d->ring[0], &elem, ANSWER_MS))
			fail("no answer with avail flags 0x%x", (uint16_t)(n * 0x4321));
	}
	d->ring[0].avail->flags = 0;
}

static void kicks_for_nothing(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	driver_start(d);
	for (unsigned int n = 0; n < 1000; n++)
		ring_kick(&d->ring[0]);
	driver_good(d, 0);
}

static void *kick_much(void *ring)
{
	for (unsigned int n = 0; n < KICKS; n++)
		ring_kick(ring);
	return NULL;
}

static void kick_storm(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;
	pthread_t thread;

	(void)unused;
	driver_start(d);
	if (pthread_create(&thread, NULL, kick_much, &d->ring[0]))
		fail("no thread");
	for (unsigned int n = 0; n < 50; n++) {
		driver_good(d, 0);
		driver_good(d, 1);
		driver_good(&bench->other, 0);
	}
	pthread_join(thread, NULL);
}

/* A broken ring is not looked at again, also when its memory moves. */
static void broken_and_moved(struct bench *bench, uint64_t unused)
{
	struct driver *d = &bench->victim;

	(void)unused;
	bad_head(bench, UINT16_MAX);
	for (unsigned int n = 0; n < 3; n++) {
		must(vhost_map(d->fd, SPARE_IOVA, AREA_BYTES, d->main.addr, VHOST_ACCESS_RW),
		     "VHOST_IOTLB_UPDATE");
		must(vhost_unmap(d->fd, SPARE_IOVA, AREA_BYTES), "VHOST_IOTLB_INVALIDATE");
		expect_stopped(bench);
	}
}

const struct hostile_case ring_cases[] = {
	{ .name = "head-is-size", .run = head_is_size },
	{ .name = "head-is-65535", .run = bad_head, .arg = UINT16_MAX },
	{ .name = "head-twice", .run = bad_head, .arg = 0 },
	{ .name = "avail-jumps", .run = avail_moves, .arg = 0 },
	{ .name = "avail-jumps-far", .run = avail_moves, .arg = 0x8000 },
	{ .name = "avail-goes-back", .run = avail_moves, .arg = UINT16_MAX },
	{ .name = "avail-full-of-one", .run = avail_full_of_one },
	{ .name = "base-is-wrong", .run = base_is_wrong },
	{ .name = "base-wraps", .run = base_wraps },
	{ .name = "used-ring-scribbled", .run = used_ring_scribbled },
	{ .name = "event-garbage", .run = event_garbage },
	{ .name = "avail-flags-garbage", .run = avail_flags_garbage },
	{ .name = "kicks-for-nothing", .run = kicks_for_nothing },
	{ .name = "kick-storm", .run = kick_storm },
	{ .name = "broken-and-moved", .run = broken_and_moved },
	{ 0 },
};
