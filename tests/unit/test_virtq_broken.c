// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c: rings that make no sense are left alone, until a new start. */
#include <endian.h>
#include <errno.h>

#include "suite.h"
#include "virtq_fixture.h"

enum break_how { BREAK_HEAD, BREAK_JUMP, BREAK_TWICE };

static const struct {
	enum break_how how;
	uint16_t value;
} breaks[] = {
	{ BREAK_HEAD, 8 },	{ BREAK_HEAD, 9 },	{ BREAK_HEAD, 0x100 },
	{ BREAK_HEAD, 0xffff }, { BREAK_JUMP, 9 },	{ BREAK_JUMP, 0x7fff },
	{ BREAK_JUMP, 0x8000 }, { BREAK_JUMP, 0xffff }, { BREAK_TWICE, 0 },
};

/* With @flying in the device's hands. */
static void break_ring(int row, int flying)
{
	switch (breaks[row].how) {
	case BREAK_HEAD:
		driver_ring_expose(&g->ring, breaks[row].value);
		break;
	case BREAK_JUMP:
		g->ring.avail_idx += breaks[row].value;
		break;
	case BREAK_TWICE:
		driver_ring_expose(&g->ring, (uint16_t)flying);
		break;
	}
	guest_publish(g);
}

START_TEST(broken_ring_gives_nothing_more)
{
	vq_start(_i, 8, 0);
	for (int row = 0; row < (int)ARRAY_SIZE(breaks); row++) {
		int flying;

		vq_restart(65534);
		flying = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		vq_take(flying);

		break_ring(row, flying);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(vq_pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 1);
		ck_assert(!virtq_has_work(&vq));
		ck_assert(!virtq_want_kick(&vq));
		guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		ck_assert_int_eq(vq_pop(), -EPROTO);

		/* what is in flight is owed all the same */
		vq_finish(flying);
		vq_publish_all();
		vq_reap(flying);
		ck_assert_int_eq(vq_pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 0);
	}
	vq_restart(7);
	vq_check_good_chain(8);
}
END_TEST

/* Every entry of the ring is a good one; only the index is wrong. */
START_TEST(index_that_jumps_breaks_the_ring_at_once)
{
	static const uint16_t jumps[] = { 9, 10, 0x7fff, 0x8000, 0xfff8, 0xffff };

	vq_start(_i, 8, 0);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(jumps); i++) {
		vq_restart((uint16_t)(i % 3 * 5 + 65531)); /* 65531, 0, 5 */
		for (uint16_t head = 0; head < 8; head++) {
			g->desc[head] = driver_ring_desc(OUT, 16, 0, 0);
			g->avail->ring[head] = htole16(head);
		}
		g->ring.avail_idx += jumps[i / 3];
		guest_publish(g);
		ck_assert_int_eq(vq_pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 0);
	}
}
END_TEST

START_TEST(same_head_twice_in_one_batch)
{
	int head;

	vq_start(_i, 8, 0);
	head = guest_add(g, G_OUT(16), G_IN(1));
	driver_ring_expose(&g->ring, (uint16_t)head);
	guest_publish(g);
	vq_take(head);
	ck_assert_int_eq(vq_pop(), -EPROTO);
	vq_finish(head);
	ck_assert_int_eq(vq_pop(), -EPROTO);
}
END_TEST

/* Before it is published, the driver cannot know, and a batch must not grow without end. */
START_TEST(same_head_again_before_publish)
{
	vq_start(_i, 8, 0);
	g->desc[5] = driver_ring_desc(OUT, 16, 0, 0);
	driver_ring_expose(&g->ring, 5);
	driver_ring_expose(&g->ring, 5);
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	vq_push(5, 0);
	ck_assert_int_eq(vq_pop(), -EPROTO);
	vq_publish_all();
	ck_assert_int_eq(vq_pop(), -EPROTO);
}
END_TEST

START_TEST(same_head_again_after_publish_is_fine)
{
	vq_start(_i, 8, 0);
	g->desc[5] = driver_ring_desc(OUT, 16, 0, 0);
	for (int i = 0; i < 20; i++) {
		driver_ring_expose(&g->ring, 5);
		guest_publish(g);
		ck_assert_int_eq(vq_pop(), 1);
		ck_assert_int_eq(chain.head, 5);
		vq_push(5, 0);
		vq_publish_all();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_broken");
	TCase *tc = suite_case(suite, "broken", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, broken_ring_gives_nothing_more, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, index_that_jumps_breaks_the_ring_at_once, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, same_head_twice_in_one_batch, 0, COMBOS);
	tcase_add_loop_test(tc, same_head_again_before_publish, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, same_head_again_after_publish_is_fine, 0, GUEST_SHAPES);
	return suite_run(suite);
}
