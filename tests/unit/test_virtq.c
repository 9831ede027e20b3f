// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c against the driver of tests/lib/guest.c, which behaves. */
#include <endian.h>
#include <errno.h>

#include "suite.h"
#include "virtq_fixture.h"

START_TEST(nothing_is_taken_from_an_empty_ring)
{
	vq_start(_i, 8, 0);
	ck_assert_int_eq(vq_pop(), 0);
	ck_assert(!virtq_has_work(&vq));
	ck_assert(!virtq_publish(&vq));
	ck_assert_int_eq(guest_add(g, G_OUT(16)), 0);
	ck_assert_int_eq(vq_pop(), 0); /* not published */
	ck_assert(!virtq_has_work(&vq));
	guest_publish(g);
	ck_assert(virtq_has_work(&vq));
	vq_take(0);
	ck_assert(!virtq_has_work(&vq));
	ck_assert_int_eq(vq_pop(), 0);
}
END_TEST

#define CHAIN_MAX 7

/* clang-format off */
static const struct {
	size_t count;
	struct chain_part segs[CHAIN_MAX];
} chains[] = {
	{ 1, { G_OUT(1) } },
	{ 1, { G_IN(1) } },
	{ 1, { G_OUT(700) } },
	{ 1, { G_IN(700) } },
	{ 2, { G_OUT(16), G_IN(1) } },
	{ 3, { G_OUT(16), G_OUT(512), G_IN(1) } },
	{ 3, { G_OUT(16), G_IN(512), G_IN(1) } },    /* status byte alone in the last segment */
	{ 2, { G_OUT(16), G_IN(513) } },             /* and not */
	{ 7, { G_OUT(1), G_OUT(7), G_OUT(8), G_OUT(100), G_IN(3), G_IN(200), G_IN(2) } },
	{ 3, { G_OUT(16), G_IN(4096), G_IN(1) } },   /* over a border of pages */
	{ 3, { G_OUT(16), G_OUT(9001), G_IN(1) } },  /* over two */
	{ 4, { G_OUT(8), G_OUT(8), G_IN(4096), G_IN(4097) } },
	{ 3, { G_OUT(30000), G_IN(20000), G_IN(1) } },
	{ 1, { G_OUT(0) } },
	{ 2, { G_OUT(0), G_IN(0) } },
	{ 5, { G_OUT(0), G_OUT(16), G_IN(0), G_IN(5), G_IN(0) } },
	{ 6, { G_OUT(16), G_OUT(0), G_OUT(16), G_IN(5), G_OUT(0), G_IN(1) } },
	{ 3, { G_OUT(16), G_IN(1), G_IN(0) } },      /* status is the last byte there is */
};
/* clang-format on */

START_TEST(chain_is_what_the_driver_made)
{
	vq_start(_i, 8, 0);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(chains); i++) {
		const struct chain_part *segs = chains[i / 3].segs;
		size_t bytes = 0;
		int head;

		for (size_t j = 0; j < chains[i / 3].count; j++)
			bytes += segs[j].len;
		if (bytes + CHAIN_MAX * sizeof(struct vring_desc) >
		    MIN(g->data_size, VIRTQ_MAX_IOV))
			if (COMBO_SHAPE(_i) == GUEST_REGION_PER_BYTE)
				continue;
		head = guest_add_segs(g, segs, chains[i / 3].count);
		ck_assert_int_ge(head, 0);
		guest_publish(g);
		vq_take(head);
		vq_finish(head);
		vq_publish_all();
		vq_reap(head);
		ck_assert_int_eq(vq_pop(), 0);
	}
}
END_TEST

START_TEST(indices_wrap)
{
	vq_start(_i, 4, 65530);
	for (int i = 0; i < 20; i++) {
		int a = guest_add(g, G_OUT(16), G_IN(1)), b;

		guest_publish(g);
		vq_take(a);
		b = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		vq_take(b);
		ck_assert_int_eq(vq_pop(), 0);
		vq_finish(a);
		vq_finish(b);
		vq_publish_all();
		ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(65530 + 2 * (i + 1)));
		vq_reap(a);
		vq_reap(b);
	}
}
END_TEST

START_TEST(full_ring_is_taken_whole)
{
	static const uint16_t sizes[] = { 1, 2, 8, 128 };

	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
		uint16_t num = sizes[n];

		vq_start(_i, num, 65535);
		for (int round = 0; round < 2; round++) {
			int heads[128];

			for (int i = 0; i < num; i++)
				heads[i] = guest_add(g, G_IN(1));
			ck_assert_int_eq(guest_add(g, G_IN(1)), -ENOSPC);
			guest_publish(g);
			for (int i = 0; i < num; i++)
				vq_take(heads[i]);
			ck_assert_int_eq(vq_pop(), 0);
			ck_assert_uint_eq(vq.in_flight, num);
			for (int i = 0; i < num; i++)
				vq_finish(heads[i]);
			vq_publish_all();
			for (int i = 0; i < num; i++)
				vq_reap(heads[i]);
		}
		if (n + 1 < ARRAY_SIZE(sizes))
			vq_stop();
	}
}
END_TEST

START_TEST(longest_direct_chain)
{
	struct chain_part segs[VIRTQ_MAX_SIZE];
	int head;

	vq_start(_i, VIRTQ_MAX_SIZE, 0);
	g->indirect = false;
	for (size_t i = 0; i < VIRTQ_MAX_SIZE; i++)
		segs[i] = (struct chain_part){ .in = i >= 600, .len = 2 };
	head = guest_add_segs(g, segs, VIRTQ_MAX_SIZE);
	guest_publish(g);
	vq_take(head);
	vq_finish(head);
	vq_publish_all();
	vq_reap(head);
}
END_TEST

START_TEST(used_in_the_order_of_pushing)
{
	static const int order[] = { 3, 0, 5, 1, 4, 2 };
	int heads[6];
	uint32_t len;

	vq_start(_i, 32, 65533);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 6; i++)
			heads[i] = guest_add(g, G_OUT(16), G_IN(20), G_IN(1));
		guest_publish(g);
		for (int i = 0; i < 6; i++)
			vq_take(heads[i]);
		for (int i = 0; i < 6; i++)
			vq_finish(heads[order[i]]);
		ck_assert_int_eq(guest_reap(g, &len), -EAGAIN); /* not before it is published */
		vq_publish_all();
		for (int i = 0; i < 6; i++)
			vq_reap(heads[order[i]]);
		ck_assert_int_eq(guest_reap(g, &len), -EAGAIN);
	}
}
END_TEST

/* Interrupt decisions: every position of used_event around a batch, indices near the wrap. */
START_TEST(interrupt_where_the_event_index_lies_in_the_batch)
{
	static const uint16_t firsts[] = { 0, 1, 7, 65532, 65535 };
	uint16_t old = firsts[_i];

	vq_start(0, 8, old);
	g->event_idx = true;
	for (uint16_t batch = 1; batch <= 8; batch++) {
		for (int rel = -10; rel <= 20; rel++) {
			bool want = rel >= 0 && rel < batch;

			vq_restart(old);
			g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT); /* means nothing */
			*guest_used_event(g) = htole16((uint16_t)(old + rel));
			for (int i = 0; i < batch; i++)
				ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
			guest_publish(g);
			while (vq_pop())
				vq_push(chain.head, 0);
			ck_assert_msg(virtq_publish(&vq) == want, "old %u batch %u event %+d", old,
				      batch, rel);
			ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(old + batch));
			ck_assert(!virtq_publish(&vq)); /* nothing new, even on the same event */
		}
	}
}
END_TEST

START_TEST(interrupt_decision_begins_where_the_last_one_ended)
{
	vq_start(0, 8, 65534);
	g->event_idx = true;
	vq_restart(65534);
	*guest_used_event(g) = htole16(65535);
	for (int i = 0; i < 4; i++) {
		uint32_t len;

		ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
		guest_publish(g);
		ck_assert_int_eq(vq_pop(), 1);
		vq_push(chain.head, 0);
		ck_assert_int_eq(virtq_publish(&vq), i == 1);
		ck_assert_int_ge(guest_reap(g, &len), 0);
	}
}
END_TEST

START_TEST(interrupt_unless_the_flag_says_no)
{
	for (int i = 0; i < 8; i++) {
		if (i)
			vq_stop();
		vq_start(GUEST_ONE_REGION, 8, (uint16_t)(65533 + i));
		g->avail->flags = htole16(i % 2 ? VRING_AVAIL_F_NO_INTERRUPT
						: (uint16_t)~VRING_AVAIL_F_NO_INTERRUPT);
		*guest_used_event(g) = htole16((uint16_t)(65533 + i + (i & 2))); /* means nothing */
		ck_assert_int_eq(guest_add(g, G_OUT(1)), 0);
		guest_publish(g);
		ck_assert_int_eq(vq_pop(), 1);
		vq_push(chain.head, 0);
		ck_assert_int_eq(virtq_publish(&vq), i % 2 == 0);
		ck_assert(!virtq_publish(&vq));
	}
}
END_TEST

/* Adds one chain; does its driver kick? */
static bool add_kicks(void)
{
	ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
	return guest_publish(g);
}

START_TEST(driver_kicks_only_when_asked)
{
	vq_start(_i, 16, 65531);
	for (int i = 0; i < 6; i++) {
		uint32_t len;

		ck_assert(!virtq_want_kick(&vq));
		ck_assert_uint_eq(g->used->flags, 0);
		ck_assert(add_kicks());
		virtq_suppress_kicks(&vq);
		ck_assert(!add_kicks());
		while (vq_pop())
			vq_push(chain.head, 0);
		ck_assert(!add_kicks()); /* still busy */
		if (g->event_idx)
			ck_assert_uint_eq(g->used->flags, 0); /* virtio 1.3, 2.7.10.1 */

		ck_assert(virtq_want_kick(&vq)); /* what came while nobody was asked */
		while (vq_pop())
			vq_push(chain.head, 0);
		vq_publish_all();
		while (guest_reap(g, &len) >= 0)
			;
	}
}
END_TEST

START_TEST(want_kick_sees_what_came_before_it)
{
	uint16_t expected;

	vq_start(_i, 8, 65535);
	ck_assert(!virtq_want_kick(&vq));
	ck_assert(add_kicks());
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	ck_assert(virtq_want_kick(&vq));
	expected = g->event_idx ? 65535 : 0;
	ck_assert_uint_eq(le16toh(*guest_avail_event(g)), expected);
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert(!virtq_want_kick(&vq));
	ck_assert_uint_eq(*guest_avail_event(g), 0); /* 65535 + 1, or never written */
	vq_push(chain.head, 0);
}
END_TEST

START_TEST(descriptors_changed_after_pop_do_not_matter)
{
	int a, b;

	vq_start(_i, 16, 0);
	a = guest_add(g, G_OUT(16), G_OUT(100), G_IN(50), G_IN(1));
	b = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	for (int i = 0; i < 4; i++) {
		if (g->indirect)
			driver_ring_write_desc(
				&g->ring, le64toh(g->desc[a].addr), (uint32_t)i,
				driver_ring_desc(GUEST_NOWHERE, 1u << 31, 7, 0xffff));
		else
			g->desc[i] = driver_ring_desc(GUEST_NOWHERE, 1u << 31, 7, 0xffff);
	}
	g->avail->ring[0] = htole16(0xffff);
	vq_check_chain(a);
	vq_write_in_part(a);
	vq_take(b);
	vq_finish(a);
	vq_finish(b);
	vq_publish_all();
	vq_reap(a);
	vq_reap(b);
}
END_TEST

START_TEST(remap_follows_memory_that_moved)
{
	int done, flying, next;

	vq_start(_i, 16, 65534);
	done = guest_add(g, G_OUT(16), G_IN(300));
	flying = guest_add(g, G_OUT(16), G_IN(300));
	next = guest_add(g, G_OUT(16), G_IN(300));
	guest_publish(g);
	vq_take(done);
	vq_take(flying);
	vq_finish(done);

	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	guest_move(g);
	ck_assert_int_eq(virtq_remap(&vq), 0);
	vq_finish(flying);
	vq_take(next);
	vq_finish(next);
	vq_publish_all();
	vq_reap(done);
	vq_reap(flying);
	vq_reap(next);
	ck_assert_uint_eq(le16toh(g->used->idx), 1); /* 65534 + 3 */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq");
	TCase *tc = suite_case(suite, "driver", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, nothing_is_taken_from_an_empty_ring, 0, COMBOS);
	tcase_add_loop_test(tc, chain_is_what_the_driver_made, 0, COMBOS);
	tcase_add_loop_test(tc, indices_wrap, 0, COMBOS);
	tcase_add_loop_test(tc, full_ring_is_taken_whole, 0, COMBOS);
	tcase_add_loop_test(tc, longest_direct_chain, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, used_in_the_order_of_pushing, 0, COMBOS);
	tcase_add_loop_test(tc, interrupt_where_the_event_index_lies_in_the_batch, 0, 5);
	tcase_add_test(tc, interrupt_decision_begins_where_the_last_one_ended);
	tcase_add_test(tc, interrupt_unless_the_flag_says_no);
	tcase_add_loop_test(tc, driver_kicks_only_when_asked, 0, COMBOS);
	tcase_add_loop_test(tc, want_kick_sees_what_came_before_it, 0, COMBOS);
	tcase_add_loop_test(tc, descriptors_changed_after_pop_do_not_matter, 0, COMBOS);
	tcase_add_loop_test(tc, remap_follows_memory_that_moved, 0, COMBOS);
	return suite_run(suite);
}
