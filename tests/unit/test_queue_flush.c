// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/request.c: which flushes of a queue share a sync. */
#include <check.h>
#include <endian.h>
#include <errno.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

/* Where the driver wants the answers, by queue and head. */
static uint64_t status_at[RIG_QUEUES_MAX][64];

static void start(void)
{
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
}

static void add_flushes(uint32_t queue, unsigned int count)
{
	while (count--) {
		struct rig_req req = rig_add(queue, VIRTIO_BLK_T_FLUSH, 0, 0);

		status_at[queue][req.head] = req.status;
	}
	rig_go(queue);
	rig_settle();
}

static void expect_syncs(unsigned int count)
{
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), count);
	while (count--)
		ck_assert_int_eq(manual_look(rig.store, count).op, BACKEND_FLUSH);
}

/* So many are given back, and no more yet. */
static void expect_answers(uint32_t queue, unsigned int count, uint8_t status)
{
	while (count--) {
		int head = rig_next(queue);
		uint8_t got;

		guest_read(rig.guests[queue], status_at[queue][head], &got, 1);
		ck_assert_uint_eq(got, status);
	}
	rig_settle();
	ck_assert(!rig_has_next(queue));
}

static void finish(int result)
{
	manual_finish(rig.store, 0, manual_held(rig.store), result);
}

START_TEST(flushes_of_a_round_share_a_sync)
{
	start();
	add_flushes(0, 3);
	expect_syncs(1);
	finish(0);
	expect_answers(0, 3, OK);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.pushed, 3);
}
END_TEST

/* A sync that has begun may miss a write that completed since. */
START_TEST(flush_is_not_completed_by_an_older_sync)
{
	struct rig_req write;

	start();
	add_flushes(0, 1);
	write = rig_add(0, VIRTIO_BLK_T_OUT, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 2);
	manual_finish(rig.store, 1, 1, 0);
	ck_assert_int_eq(rig_finish(&write), OK);
	add_flushes(0, 2);
	expect_syncs(2);
	manual_finish(rig.store, 0, 1, 0);
	expect_answers(0, 1, OK);
	expect_syncs(1);
	finish(0);
	expect_answers(0, 2, OK);
}
END_TEST

START_TEST(all_that_share_a_failed_sync_fail_and_all_later_ones)
{
	rig.config.on_error = 60; /* no flush is tried again */
	start();
	add_flushes(0, 3);
	test_log_expect(LOG_LEVEL_ERROR, "until the driver is reset and the disk is detached");
	test_log_expect(LOG_LEVEL_ERROR, "flush: Input/output error");
	finish(-EIO);
	expect_answers(0, 3, IOERR);
	ck_assert(rig.device.queues.all[0].vq.log->user_flag);
	for (uint32_t queue = 0; queue < 2; queue++) {
		add_flushes(queue, 2);
		finish(0);
		expect_answers(queue, 2, IOERR);
	}
}
END_TEST

/*
 * Writes and their syncs, of a driver that relies on each write: whatever its own sync said, a
 * write that completes after another queue has learned of a loss may be the one that is lost.
 */
START_TEST(durable_write_fails_when_a_loss_was_reported_to_another_queue)
{
	struct rig_req write;

	rig.config.on_error = _i ? 60 : 0; /* nor is it tried again */
	rig.config.cache = CACHE_WRITETHROUGH;
	rig.worker_count = 2;
	start();
	write = rig_add(1, VIRTIO_BLK_T_OUT, 0, 512);
	rig_go(1);
	add_flushes(0, 1);
	rig_wait(manual_held(rig.store) == 2);
	test_log_expect(LOG_LEVEL_ERROR, "writes may be lost");
	test_log_expect(LOG_LEVEL_ERROR, "flush: Input/output error");
	manual_finish(rig.store, manual_look(rig.store, 0).op == BACKEND_FLUSH ? 0 : 1, 1, -EIO);
	expect_answers(0, 1, IOERR);
	manual_finish(rig.store, 0, 1, 0);
	ck_assert_int_eq(rig_finish(&write), IOERR);
}
END_TEST

/* Of the change itself, and of the sync after it. A failed sync is not tried again. */
START_TEST(failed_sync_of_a_durable_change_is_remembered)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD,
					  VIRTIO_BLK_T_WRITE_ZEROES };
	struct virtio_blk_discard_write_zeroes range = { .num_sectors = htole32(8) };
	struct rig_req req;

	rig.config.on_error = 60;
	rig.config.cache = CACHE_WRITETHROUGH;
	start();
	req = rig_add(0, types[_i], 0, _i ? sizeof(range) : 512);
	if (_i)
		rig_fill(&req, &range, sizeof(range));
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	ck_assert(manual_look(rig.store, 0).durable);
	test_log_expect(LOG_LEVEL_ERROR, "writes may be lost");
	test_log_expect(LOG_LEVEL_ERROR, "Input/output error");
	finish(MANUAL_SYNC_FAILS);
	ck_assert_int_eq(rig_finish(&req), IOERR);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.retries, 0);
	ck_assert(rig.device.queues.disk.flush_failed);
	ck_assert(rig.device.queues.all[0].vq.log->user_flag);

	/* On all queues, and for all that has to be durable; a read has not. */
	req = rig_add(1, VIRTIO_BLK_T_OUT, 0, 512);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 1);
	finish(0);
	ck_assert_int_eq(rig_finish(&req), IOERR);
	req = rig_add(1, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 1);
	ck_assert(!manual_look(rig.store, 0).durable);
	finish(0);
	ck_assert_int_eq(rig_finish(&req), OK);
}
END_TEST

/* What becomes of the sync under way when a command comes. */
static const int cut_short[] = { -ECANCELED, 0 };

START_TEST(memory_that_moves_has_flushes_taken_again)
{
	uint32_t id;

	start();
	add_flushes(0, 3);
	id = rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 1);
	ck_assert(!rig_has_reply(id));
	finish(cut_short[_i]);
	ck_assert(rig_reply_is_ok(id));
	if (cut_short[_i]) {
		expect_answers(0, 0, OK);
		expect_syncs(1);
		finish(0);
	}
	expect_answers(0, 3, OK);
	expect_syncs(0);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.errors, 0);
}
END_TEST

START_TEST(reset_gives_up_flushes)
{
	uint32_t id;

	start();
	add_flushes(0, 3);
	id = rig_send_status(0);
	rig_wait(manual_cancelled(rig.store) == 1);
	ck_assert(!rig_has_reply(id));
	finish(cut_short[_i]);
	ck_assert(rig_reply_is_ok(id));
	rig_check_stopped();
	expect_syncs(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.errors, cut_short[_i] ? 3 : 0);

	rig_status(0);
	rig_driver_start();
	add_flushes(0, 1);
	expect_syncs(1);
	finish(0);
	expect_answers(0, 1, OK);
}
END_TEST

START_TEST(asking_for_a_queues_state_waits_for_its_flushes)
{
	uint32_t id;

	start();
	add_flushes(0, 3);
	id = rig_send_vq_state(0);
	rig_settle();
	ck_assert(!rig_has_reply(id));
	finish(0);
	ck_assert(rig_reply_is_ok(id));
	expect_answers(0, 3, OK);
}
END_TEST

START_TEST(server_after_a_crash_flushes_again)
{
	start();
	add_flushes(0, 3);
	rig_crash();
	rig_open();
	manual_hold(rig.store, true);
	rig_wait(rig.device.vduse.messages.ring);
	expect_syncs(1);
	finish(0);
	expect_answers(0, 3, OK);
}
END_TEST

START_TEST(queues_have_syncs_of_their_own)
{
	rig.worker_count = (unsigned int)_i;
	start();
	add_flushes(0, 2);
	add_flushes(1, 2);
	expect_syncs(2);
	manual_finish(rig.store, 1, 1, 0);
	expect_answers(1, 2, OK);
	ck_assert(!rig_has_next(0));
	finish(0);
	expect_answers(0, 2, OK);
}
END_TEST

START_TEST(flushes_that_end_at_once_are_completed_once)
{
	rig.config.cache = CACHE_UNSAFE;
	start();
	manual_hold(rig.store, false);
	add_flushes(0, 20);
	expect_answers(0, 20, OK);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.pushed, 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue_flush");
	TCase *tc = suite_case(suite, "queue_flush", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, flushes_of_a_round_share_a_sync);
	tcase_add_test(tc, flush_is_not_completed_by_an_older_sync);
	tcase_add_test(tc, all_that_share_a_failed_sync_fail_and_all_later_ones);
	tcase_add_loop_test(tc, durable_write_fails_when_a_loss_was_reported_to_another_queue, 0,
			    2);
	tcase_add_loop_test(tc, failed_sync_of_a_durable_change_is_remembered, 0, 3);
	tcase_add_loop_test(tc, memory_that_moves_has_flushes_taken_again, 0,
			    ARRAY_SIZE(cut_short));
	tcase_add_loop_test(tc, reset_gives_up_flushes, 0, ARRAY_SIZE(cut_short));
	tcase_add_test(tc, asking_for_a_queues_state_waits_for_its_flushes);
	tcase_add_test(tc, server_after_a_crash_flushes_again);
	tcase_add_loop_test(tc, queues_have_syncs_of_their_own, 1, 3);
	tcase_add_test(tc, flushes_that_end_at_once_are_completed_once);
	return suite_run(suite);
}
