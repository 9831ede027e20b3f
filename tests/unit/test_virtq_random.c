// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c with a driver that does anything, compared with a model. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "suite.h"
#include "virtq_fixture.h"

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

static uint64_t random_addr(void)
{
	switch (random() % 24) {
	case 0:
		return GUEST_NOWHERE;
	case 1:
		return GUEST_READ_ONLY + (uint64_t)random() % GUEST_PAGE;
	case 2:
		return GUEST_WRITE_ONLY + (uint64_t)random() % GUEST_PAGE;
	case 3:
		return UINT64_MAX - (uint64_t)random() % 64;
	case 4:
		return GUEST_DATA + g->data_size - (uint64_t)random() % 64;
	}
	return GUEST_DATA + (uint64_t)random() % g->data_size;
}

static uint32_t random_len(void)
{
	switch (random() % 32) {
	case 0:
		return 0;
	case 1:
		return g->data_size > GUEST_PAGE ? 5000 : 40;
	case 2:
		return random() % 64 ? 16 : UINT32_MAX - (uint32_t)random() % 3;
	}
	return 1 + (uint32_t)random() % 30;
}

/* Entry @at of @entries: most often a link of a good chain. */
static struct vring_desc random_desc(uint32_t at, uint32_t entries)
{
	uint16_t flags = 0, next = (uint16_t)(at + 1);

	if (random() % 4 && at + 1 < entries)
		flags |= N;
	if (random() % 16 == 0)
		flags ^= N;
	if ((at > entries / 2) == (random() % 16 != 0))
		flags |= W;
	if (random() % 12 == 0)
		next = (uint16_t)((uint32_t)random() % (entries + 1));
	if (random() % 8 == 0) {
		uint32_t len = 16 * (1 + (uint32_t)random() % 12);

		return driver_ring_desc(random_addr(), random() % 16 ? len : len + 1,
					random() % 8 ? I : flags | I, next);
	}
	return driver_ring_desc(random_addr(), random_len(), flags, next);
}

static void scribble(void)
{
	for (int i = random() % 4; i; i--) {
		uint32_t at = (uint32_t)random() % g->num;

		g->desc[at] = random_desc(at, g->num);
	}
}

static void random_ring(void)
{
	for (uint16_t i = 0; i < g->num; i++) {
		uint64_t table = le64toh((g->desc[i] = random_desc(i, g->num)).addr);
		uint32_t entries = le32toh(g->desc[i].len) / 16;

		if (!(le16toh(g->desc[i].flags) & I))
			continue;
		for (uint32_t j = 0; j < MIN(entries, 20); j++)
			if (guest_has(g, table + 16 * j, 16, 0))
				driver_ring_write_desc(&g->ring, table, j, random_desc(j, entries));
	}
	for (long i = random() % (g->num + 1); i; i--)
		driver_ring_expose(&g->ring, (uint16_t)(random() % g->num));
	if (random() % 32 == 0)
		driver_ring_expose(&g->ring, (uint16_t)random());
	if (random() % 32 == 0)
		g->ring.avail_idx += (uint16_t)random();
	guest_publish(g);
}

/* Takes all there is, answering some at once and in any order. */
static void drain(void)
{
	uint16_t flying[64];
	uint32_t count = 0;
	int ret;

	while ((ret = vq_pop()) == 1) {
		vq_check_against_model(chain.head);
		flying[count++] = chain.head;
		while (count && random() % 3 == 0) {
			uint32_t at = (uint32_t)random() % count;

			vq_push(flying[at], (uint32_t)random());
			flying[at] = flying[--count];
		}
		if (random() % 2)
			vq_publish_all();
		scribble();
	}
	ck_assert(ret == 0 || (ret == -EPROTO && vq.broken));
	ck_assert_int_eq(vq_pop(), ret);
	ck_assert_uint_eq(vq.in_flight, count);
	while (count)
		vq_push(flying[--count], 0);
	vq_publish_all();
	ck_assert_uint_eq(vq_popped, vq_pushed);
	ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(vq.last_avail));
}

#define RANDOM_RINGS 7000

START_TEST(random_ring_does_no_harm)
{
	unsigned int broken = 0, well = 0, taken = 0;

	srandom((unsigned int)_i + 1);
	vq_start(_i % GUEST_SHAPES, 16, 0);
	for (int i = 0; i < RANDOM_RINGS; i++) {
		struct virtq_layout l;

		if (i % 1000 == 0)
			iotlb_drop(&g->tlb, 0, UINT64_MAX);
		g->event_idx = random() % 2;
		guest_reset(g, (uint16_t)random());
		l = vq_layout(random() % 4);
		ck_assert_int_eq(virtq_start(&vq, &l, g->ring.avail_idx), 0);
		vq_popped = vq_pushed = 0;
		random_ring();
		drain();
		broken += vq.broken;
		taken += vq_popped;
		well += !chain.fault && vq_popped;
	}
	/* the generator is worth something */
	ck_assert_uint_gt(broken, RANDOM_RINGS / 100);
	ck_assert_uint_gt(taken, RANDOM_RINGS);
	ck_assert_uint_gt(well, RANDOM_RINGS / 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_random");
	TCase *tc = suite_case(suite, "random", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, random_ring_does_no_harm, 0, GUEST_SHAPES);
	return suite_run(suite);
}
