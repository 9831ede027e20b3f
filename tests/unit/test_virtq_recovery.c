// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c and lib/inflight.c: a server that dies, and the next one. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "virtq_fixture.h"

#define LOG_HEADS 16

static struct inflight_vq *new_log(void)
{
	struct inflight_vq *log = calloc(1, sizeof(*log) + LOG_HEADS * sizeof(log->entries[0]));

	ck_assert_ptr_nonnull(log);
	return log;
}

static void start_with_log(int combo, uint16_t first, struct inflight_vq *log)
{
	vq_start(combo, LOG_HEADS, first);
	virtq_set_log(&vq, log);
	vq_restart(first);
}

/* All that was private is lost; ring and log are what they are. */
static int die_and_recover(struct inflight_vq *log)
{
	struct virtq_layout l = vq_layout(true);
	int count;

	virtq_exit(&vq);
	memset(&vq, 0xa5, sizeof(vq));
	virtq_init(&vq, &g->tlb);
	virtq_set_log(&vq, log);
	count = virtq_recover(&vq, &l);
	vq_popped = vq_pushed = 0;
	return count;
}

/* Another server's queue, of which there is no inflight log: what is not given back comes again. */
START_TEST(chains_come_again_without_an_inflight_log)
{
	struct inflight_vq *log = new_log();
	struct virtq_layout l;
	int heads[6];

	vq_start(_i, LOG_HEADS, 65533);
	for (int i = 0; i < 6; i++)
		heads[i] = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	for (int i = 0; i < 4; i++)
		vq_take(heads[i]);
	vq_finish(heads[0]);
	vq_finish(heads[1]);
	vq_publish_all();

	l = vq_layout(true);
	virtq_exit(&vq);
	virtq_init(&vq, &g->tlb);
	virtq_set_log(&vq, log);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), 4);
	vq_popped = vq_pushed = 0;
	for (int i = 2; i < 6; i++)
		vq_take(heads[i]);
	ck_assert_int_eq(vq_pop(), 0);
	for (int i = 5; i >= 2; i--)
		vq_finish(heads[i]);
	vq_publish_all();
	for (int i = 0; i < 2; i++)
		vq_reap(heads[i]);
	for (int i = 5; i >= 2; i--)
		vq_reap(heads[i]);
	free(log);
}
END_TEST

static void fill_ring(int *heads)
{
	for (int i = 0; i < LOG_HEADS; i++) {
		heads[i] = guest_add(g, G_IN(1));
		ck_assert_int_ge(heads[i], 0);
	}
	guest_publish(g);
}

/* Every entry of the ring is in flight, and so is every head: the most that there can be. */
START_TEST(full_ring_comes_again_without_an_inflight_log)
{
	struct inflight_vq *log = new_log();
	int heads[LOG_HEADS];
	struct virtq_layout l;

	vq_start(_i, LOG_HEADS, 65530);
	fill_ring(heads);
	for (int i = 0; i < 3; i++)
		vq_take(heads[i]);
	l = vq_layout(true);
	virtq_exit(&vq);
	virtq_init(&vq, &g->tlb);
	virtq_set_log(&vq, log);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), LOG_HEADS);
	vq_popped = vq_pushed = 0;
	for (int i = 0; i < LOG_HEADS; i++)
		vq_take(heads[i]);
	ck_assert_int_eq(vq_pop(), 0);
	for (int i = 0; i < LOG_HEADS; i++)
		vq_finish(heads[i]);
	vq_publish_all();
	for (int i = 0; i < LOG_HEADS; i++)
		vq_reap(heads[i]);
	free(log);
}
END_TEST

START_TEST(blind_recovery_passes_up_what_is_wrong_with_the_layout)
{
	struct inflight_vq *log = new_log();
	struct virtq_layout l;

	vq_start(0, LOG_HEADS, 0);
	l = vq_layout(true);
	virtq_exit(&vq);
	virtq_init(&vq, &g->tlb);
	virtq_set_log(&vq, log);
	l.num = 3;
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), -EINVAL);
	l = vq_layout(true);
	l.device = GUEST_NOWHERE;
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), -EFAULT);
	free(log);
}
END_TEST

/* The list of those that come again has room for a ring; one that is taken from it may return. */
START_TEST(chains_put_back_come_again_in_their_order)
{
	uint16_t order[VIRTQ_MAX_SIZE + 2];
	uint32_t count = 0;

	vq_start(0, VIRTQ_MAX_SIZE, 65000);
	for (int i = 0; i < VIRTQ_MAX_SIZE; i++)
		must(guest_add(g, (struct chain_part){ .len = 1, .addr = GUEST_DATA }) >= 0,
		     "full");
	guest_publish(g);
	for (count = 0; vq_pop() == 1; count++)
		order[count] = chain.head;
	ck_assert_uint_eq(count, VIRTQ_MAX_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		virtq_put_back(&vq, order[i]);
		vq_popped--;
	}
	ck_assert_uint_eq(virtq_replays_left(&vq), VIRTQ_MAX_SIZE);
	for (uint32_t i = 0; i < 2; i++) { /* the list is full, and its first place is free */
		ck_assert_int_eq(vq_pop(), 1);
		ck_assert_uint_eq(chain.head, order[i]);
		virtq_put_back(&vq, chain.head);
		vq_popped--;
		order[count++] = order[i];
	}
	for (uint32_t i = 2; i < count; i++)
		must(vq_pop() == 1 && chain.head == order[i], "chain %u", i);
	ck_assert_int_eq(vq_pop(), 0);
	ck_assert_uint_eq(vq.in_flight, VIRTQ_MAX_SIZE);
}
END_TEST

START_TEST(stop_and_start_forget_what_would_come_again)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(0, 0, log);
	head = guest_add(g, G_IN(1));
	guest_publish(g);
	vq_take(head);
	ck_assert_int_eq(die_and_recover(log), 1);
	ck_assert(virtq_has_work(&vq));
	virtq_stop(&vq);
	ck_assert_uint_eq(virtq_replays_left(&vq), 0);
	ck_assert(!virtq_has_work(&vq));
	ck_assert_int_eq(die_and_recover(log), 1);
	vq_restart(0);
	ck_assert_uint_eq(virtq_replays_left(&vq), 0);
	ck_assert_int_eq(vq_pop(), 0);
	free(log);
}
END_TEST

/* What cannot be is refused: more than a ring full, a head twice, a head out of range. */
START_TEST(ring_that_tells_nonsense_is_not_guessed_about)
{
	struct inflight_vq *log = new_log();
	struct virtq_layout l;

	start_with_log(0, 0, log);
	l = vq_layout(true);
	g->avail->idx = htole16(LOG_HEADS + 1);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), -EINVAL);
	g->avail->idx = htole16(2);
	g->avail->ring[0] = g->avail->ring[1] = htole16(3);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), -EINVAL);
	g->avail->ring[1] = htole16(LOG_HEADS);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), -EINVAL);
	g->avail->ring[1] = htole16(4);
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), 2);
	free(log);
}
END_TEST

START_TEST(chains_in_flight_come_again_in_the_order_they_were_taken)
{
	struct inflight_vq *log = new_log();
	int heads[6];

	start_with_log(_i, 65533, log);
	for (int i = 0; i < 6; i++)
		heads[i] = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	for (int i = 0; i < 5; i++)
		vq_take(heads[i]);
	vq_finish(heads[3]);
	vq_publish_all();
	vq_finish(heads[1]); /* not published: the driver never sees it */

	ck_assert_int_eq(die_and_recover(log), 4);
	vq_check_counters();
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	vq_take(heads[0]);
	vq_take(heads[1]);
	vq_take(heads[2]);
	vq_take(heads[4]);
	vq_take(heads[5]); /* and what nobody had taken yet */
	ck_assert_int_eq(vq_pop(), 0);
	vq_reap(heads[3]);
	for (int i = 5; i >= 0; i--)
		if (i != 3)
			vq_finish(heads[i]);
	vq_publish_all();
	for (int i = 5; i >= 0; i--)
		if (i != 3)
			vq_reap(heads[i]);
	ck_assert_int_eq(die_and_recover(log), 0);
	ck_assert_int_eq(vq_pop(), 0);
	free(log);
}
END_TEST

START_TEST(head_that_comes_again_is_still_in_flight)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 0, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	vq_take(head);
	driver_ring_expose(&g->ring, (uint16_t)head);
	guest_publish(g);
	ck_assert_int_eq(die_and_recover(log), 1);
	vq_take(head);
	ck_assert_int_eq(vq_pop(), -EPROTO);
	vq_finish(head);
	vq_publish_all();
	vq_reap(head);
	free(log);
}
END_TEST

START_TEST(chain_that_comes_again_is_work_by_itself)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 0, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	vq_take(head);
	ck_assert_int_eq(die_and_recover(log), 1);
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	vq_take(head);
	ck_assert(!virtq_has_work(&vq));
	ck_assert(!virtq_want_kick(&vq));
	free(log);
}
END_TEST

START_TEST(log_of_another_ring_is_refused)
{
	struct inflight_vq *log = new_log();

	start_with_log(_i, 100, log);
	g->used->idx = htole16(101 + LOG_HEADS); /* more than could have been given back */
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	ck_assert_uint_eq(virtq_replays_left(&vq), 0);
	g->used->idx = htole16(99); /* backwards */
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	g->used->idx = htole16(100);
	ck_assert_int_eq(die_and_recover(log), 0);
	virtq_stop(&vq); /* the kernel may not have taken the reset yet */
	ck_assert_int_eq(die_and_recover(log), 0);
	inflight_vq_stop(log);
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	vq_restart(100);
	ck_assert_int_eq(die_and_recover(log), 0);
	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	g->fill_error = -ENOMEM;
	ck_assert_int_eq(die_and_recover(log), -ENOMEM);
	free(log);
}
END_TEST

START_TEST(start_begins_an_empty_log)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 7, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	vq_take(head);
	vq_restart(9);
	ck_assert_int_eq(die_and_recover(log), 0);
	ck_assert_uint_eq(vq.last_avail, 9);
	free(log);
}
END_TEST

/* Taken and not published, in the order of taking; and those vq_pushed in the current batch. */
static struct {
	uint16_t heads[LOG_HEADS];
	uint32_t count;
	uint16_t batch[LOG_HEADS];
	uint32_t batch_count;
} owed;

static void owed_published(void)
{
	for (uint32_t i = 0; i < owed.batch_count; i++) {
		uint32_t at = 0;

		while (owed.heads[at] != owed.batch[i])
			at++;
		memmove(&owed.heads[at], &owed.heads[at + 1],
			(--owed.count - at) * sizeof(owed.heads[0]));
	}
	owed.batch_count = 0;
}

/* Dies at the end of the last step, or within publish: the index moved, the log only in part. */
static void die_somewhere(struct inflight_vq *log)
{
	size_t size = sizeof(*log) + LOG_HEADS * sizeof(log->entries[0]);
	struct inflight_vq *before = new_log();

	memcpy(before, log, size);
	if (random() % 2 && owed.batch_count) {
		uint32_t cleared = (uint32_t)random() % (owed.batch_count + 1);

		vq_publish_all();
		memcpy(log, before, size);
		for (uint32_t i = 0; i < cleared; i++)
			log->entries[owed.batch[i]] = 0;
		owed_published();
	}
	free(before);
	owed.batch_count = 0;
	must(die_and_recover(log) == (int)owed.count, "how many come again");
	for (uint32_t i = 0; i < owed.count; i++)
		must(vq_pop() == 1 && chain.head == owed.heads[i] && !chain.fault,
		     "what comes again");
}

static void random_step(struct inflight_vq *log)
{
	uint32_t len, at;

	switch (random() % 8) {
	case 0:
	case 1:
		guest_add(g, G_OUT(3), G_IN(1));
		guest_publish(g);
		break;
	case 2:
	case 3:
		if (vq_pop() == 1)
			owed.heads[owed.count++] = chain.head;
		break;
	case 4:
	case 5:
		if (!owed.count)
			break;
		at = (uint32_t)random() % owed.count;
		for (uint32_t i = 0; i < owed.batch_count; i++)
			if (owed.batch[i] == owed.heads[at])
				return;
		vq_push(owed.heads[at], 1);
		owed.batch[owed.batch_count++] = owed.heads[at];
		break;
	case 6:
		vq_publish_all();
		owed_published();
		while (guest_reap(g, &len) >= 0)
			;
		break;
	case 7:
		if (random() % 8 == 0)
			die_somewhere(log);
		break;
	}
}

START_TEST(death_at_any_time_loses_nothing_and_repeats_nothing_published)
{
	struct inflight_vq *log = new_log();
	struct virtq_layout l;
	uint32_t len;

	srandom((unsigned int)_i + 1);
	start_with_log(_i, 65000, log);
	if (_i % 2) { /* a ring whose used index is behind for good */
		g->used->idx = htole16(64990);
		g->last_used = 64990;
		l = vq_layout(true);
		ck_assert_int_eq(virtq_start(&vq, &l, 65000), 0);
	}
	for (int i = 0; i < 20000; i++)
		random_step(log);
	die_somewhere(log);
	while (owed.count)
		vq_push(owed.heads[--owed.count], 1);
	while (vq_pop() == 1)
		vq_push(chain.head, 1);
	vq_publish_all();
	while (guest_reap(g, &len) >= 0) /* aborts on what was not out */
		;
	ck_assert_uint_eq(g->busy, 0);
	free(log);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_recovery");
	TCase *tc = suite_case(suite, "recovery", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, chains_in_flight_come_again_in_the_order_they_were_taken, 0,
			    COMBOS);
	tcase_add_loop_test(tc, chains_come_again_without_an_inflight_log, 0, COMBOS);
	tcase_add_loop_test(tc, full_ring_comes_again_without_an_inflight_log, 0, COMBOS);
	tcase_add_test(tc, blind_recovery_passes_up_what_is_wrong_with_the_layout);
	tcase_add_test(tc, chains_put_back_come_again_in_their_order);
	tcase_add_test(tc, stop_and_start_forget_what_would_come_again);
	tcase_add_test(tc, ring_that_tells_nonsense_is_not_guessed_about);
	tcase_add_loop_test(tc, head_that_comes_again_is_still_in_flight, 0, GUEST_SHAPES);
	tcase_add_test(tc, chain_that_comes_again_is_work_by_itself);
	tcase_add_test(tc, log_of_another_ring_is_refused);
	tcase_add_test(tc, start_begins_an_empty_log);
	tcase_add_loop_test(tc, death_at_any_time_loses_nothing_and_repeats_nothing_published, 0,
			    COMBOS);
	return suite_run(suite);
}
