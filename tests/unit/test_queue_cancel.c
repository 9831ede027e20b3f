// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/queue.c: requests that are ended early, tried again, or given up. */
#include <check.h>
#include <errno.h>
#include <pthread.h>

#include "device_fixture.h"
#include "iov.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

/* Reads of queue 0, of the sectors 0, 1, ..., that the store holds. */
static void start_with_reads(unsigned int count)
{
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	for (unsigned int i = 0; i < count; i++)
		rig_add(0, VIRTIO_BLK_T_IN, i, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == count);
}

static void finish(int result)
{
	manual_finish(rig.store, 0, manual_held(rig.store), result);
}

START_TEST(memory_that_moves_has_what_was_cancelled_taken_again)
{
	uint32_t id;

	start_with_reads(3);
	id = rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 3);
	ck_assert(!rig_has_reply(id));
	manual_finish(rig.store, 1, 1, 0); /* too late to be cancelled */
	ck_assert_int_ge(rig_next(0), 0);
	finish(_i ? -EINTR : -ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	ck_assert(!rig_has_next(0));

	rig_wait(manual_held(rig.store) == 2);
	ck_assert_uint_eq(manual_look(rig.store, 0).offset, 0);
	ck_assert_uint_eq(manual_look(rig.store, 1).offset, 1024);
	finish(0);
	rig_next(0);
	rig_next(0);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.errors, 0);
}
END_TEST

/* A broken ring returns no head again, so a request that was put back would never complete. */
START_TEST(cancelled_requests_of_a_broken_ring_complete_with_errors)
{
	struct rig_req reqs[2];
	uint32_t id;

	start_with_reads(0);
	for (unsigned int i = 0; i < 2; i++)
		reqs[i] = rig_add(0, VIRTIO_BLK_T_IN, i, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 2);
	test_log_expect(LOG_LEVEL_ERROR, "the driver wrote an invalid ring");
	driver_ring_expose(&rig.guests[0]->ring, rig.num);
	guest_publish(rig.guests[0]);
	ck_assert(fake_kern_kick(rig.kern, 0));
	rig_wait(test_log_count("wrote an invalid ring"));

	id = rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 2);
	finish(-ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(rig_finish(&reqs[i]), IOERR);
	rig_status(0);
}
END_TEST

START_TEST(what_was_cancelled_for_a_reset_is_not_taken_again)
{
	uint32_t id;

	start_with_reads(3);
	id = rig_send_status(0);
	rig_wait(manual_cancelled(rig.store) == 3);
	ck_assert(!rig_has_reply(id));
	test_log_allow(LOG_LEVEL_ERROR, "read of 512 bytes");
	finish(-ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	rig_check_stopped();
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), 0);
}
END_TEST

START_TEST(asking_for_a_queues_state_cancels_nothing)
{
	uint32_t id;

	start_with_reads(2);
	id = rig_send_vq_state(0);
	rig_settle();
	ck_assert_uint_eq(manual_cancelled(rig.store), 0);
	finish(0);
	ck_assert(rig_reply_is_ok(id));
}
END_TEST

START_TEST(what_was_put_back_survives_the_server)
{
	uint32_t id;

	start_with_reads(2);
	rig_unmap(); /* so that it cannot be taken again yet */
	id = rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 2);
	finish(-ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	rig_crash();
	rig_map();
	rig_open();
	manual_hold(rig.store, true);
	rig_wait(manual_held(rig.store) == 2);
	ck_assert_uint_eq(manual_look(rig.store, 0).offset, 0);
	ck_assert_uint_eq(manual_look(rig.store, 1).offset, 512);
	rig_wait(rig.device.vduse.messages.ring);
}
END_TEST

START_TEST(failure_is_tried_again_as_long_as_it_is_to_be)
{
	struct rig_req req;

	rig.config.on_error = 60;
	start_with_reads(0);
	req = rig_add(0, VIRTIO_BLK_T_OUT, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	test_log_expect(LOG_LEVEL_ERROR,
			"write of 512 bytes at 0: Input/output error; tried again");
	finish(-EIO);
	rig_settle();
	ck_assert(!rig_has_next(0));
	rig_wait(manual_held(rig.store) == 1);
	finish(MANUAL_DO);
	ck_assert_int_eq(rig_finish(&req), OK);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.retries, 1);
}
END_TEST

/* What was transferred before a failure is done; the limit counts from the first failure. */
/* As a store that fails then: it has advanced the pieces of memory, and says how far. */
static void transfer_512(struct backend_io *io)
{
	io->done_bytes = 512;
	iov_skip(&io->iov, &io->iov_count, 512);
}

START_TEST(next_try_goes_on_where_the_last_one_stopped)
{
	struct rig_req req;

	rig.config.on_error = 60;
	start_with_reads(0);
	req = rig_add(0, VIRTIO_BLK_T_OUT, 8, 2048);
	rig_go(0);
	test_log_expect(LOG_LEVEL_ERROR, "write of 2048 bytes at 4096");
	test_log_allow(LOG_LEVEL_ERROR, "write: 1 more errors of the store");
	for (unsigned int try = 0; try < 3; try++) {
		rig_wait(manual_held(rig.store) == 1);
		ck_assert_uint_eq(manual_look(rig.store, 0).offset, 4096 + 512 * try);
		ck_assert_uint_eq(manual_look(rig.store, 0).len, 2048 - 512 * try);
		transfer_512(manual_io(rig.store, 0));
		finish(try < 2 ? -EIO : 0);
		rig_settle();
	}
	ck_assert_int_eq(rig_finish(&req), OK);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.retries, 2);
}
END_TEST

static bool tried_again_or_answered(void)
{
	rig_wait(manual_held(rig.store) == 1 || rig_has_next(0));
	return manual_held(rig.store) == 1;
}

/* One second, and then the driver is told; the next request has a second of its own. */
START_TEST(failure_that_stays_is_an_error_in_the_end)
{
	unsigned int tries = 1;
	struct rig_req req;

	rig.config.on_error = 1;
	start_with_reads(0);
	test_log_expect(LOG_LEVEL_ERROR, "tried again for up to 1 s");
	test_log_allow(LOG_LEVEL_ERROR, "more errors of the store");
	req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	for (finish(-EIO); tries < 100 && tried_again_or_answered(); tries++)
		finish(-EIO);
	ck_assert_uint_gt(tries, 1);
	ck_assert_int_eq(rig_finish(&req), IOERR);

	req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	finish(-EIO);
	ck_assert(tried_again_or_answered());
	finish(0);
	ck_assert_int_eq(rig_finish(&req), OK);
	rig_status(0);
}
END_TEST

/* It would fail again: what the store cannot do, and memory that is not there. */
START_TEST(failure_that_is_no_fault_of_the_store_is_not_tried_again)
{
	static const int errors[] = { -EOPNOTSUPP, -EFAULT };
	struct rig_req req;

	rig.config.on_error = 60;
	start_with_reads(0);
	test_log_expect(LOG_LEVEL_ERROR, "read of 512 bytes at 0");
	req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	finish(errors[_i]);
	ck_assert(!tried_again_or_answered());
	ck_assert_int_eq(rig_finish(&req), _i ? IOERR : VIRTIO_BLK_S_UNSUPP);
	rig_status(0);
}
END_TEST

START_TEST(store_that_works_again_is_logged)
{
	bool flush = _i;

	start_with_reads(0);
	rig.store->cached = false; /* the next driver relies on nothing that is lost */
	rig_add(0, flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN, 0, flush ? 0 : 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	test_log_allow(LOG_LEVEL_ERROR, "writes may be lost");
	test_log_expect(LOG_LEVEL_ERROR, "Input/output error");
	finish(-EIO);
	rig_next(0);
	rig_status(0);
	pthread_mutex_lock(&rig.device.queues.disk.health.lock);
	rig.device.queues.disk.health.ops[flush ? BACKEND_FLUSH : BACKEND_READ].last_ns =
		0; /* long ago */
	pthread_mutex_unlock(&rig.device.queues.disk.health.lock);
	rig_driver_start();
	manual_hold(rig.store, false);
	test_log_expect(LOG_LEVEL_INFO,
			flush ? "flush: the store works again" : "read: the store works again");
	ck_assert_int_eq(
		rig_do(0, flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN, 0, flush ? 0 : 512), OK);
	rig_settle();
}
END_TEST

/* Requests that are over have nothing in the store that could be ended. */
START_TEST(only_what_is_in_the_store_is_cancelled)
{
	uint32_t id;

	start_with_reads(5);
	finish(0);
	for (unsigned int i = 0; i < 5; i++)
		rig_next(0);
	for (unsigned int i = 0; i < 5; i++)
		rig_add(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	finish(0);
	for (unsigned int i = 0; i < 5; i++)
		rig_next(0);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	id = rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) >= 1);
	rig_settle();
	ck_assert_uint_eq(manual_cancelled(rig.store), 1);
	manual_hold(rig.store, false);
	finish(-ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	rig_next(0);
	rig_status(0);
}
END_TEST

/* It is in the store again, which has to be asked to end it. */
START_TEST(operation_that_is_tried_again_is_cancelled)
{
	uint32_t id;

	rig.config.on_error = 60;
	start_with_reads(1);
	test_log_expect(LOG_LEVEL_ERROR, "tried again for up to 60 s");
	finish(-EIO);
	rig_settle();
	rig_wait(manual_held(rig.store) == 1);
	id = _i ? rig_send_iotlb(0, UINT64_MAX) : rig_send_status(0);
	rig_wait(manual_cancelled(rig.store) == 1);
	manual_hold(rig.store, false);
	finish(-ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.retries, 1);
}
END_TEST

START_TEST(reset_does_not_wait_for_the_next_try)
{
	rig.config.on_error = 86400;
	start_with_reads(2);
	test_log_allow(LOG_LEVEL_ERROR, "tried again for up to 86400 s");
	test_log_allow(LOG_LEVEL_ERROR, "read: 1 more errors of the store");
	finish(-EIO);
	rig_settle();
	if (_i) {
		rig_close(); /* nor does this: what may be is served first */
		return;
	}
	ck_assert(rig_reply_is_ok(rig_send_status(0)));
	ck_assert_uint_eq(manual_held(rig.store), 0);
}
END_TEST

/* The store tells once that it has lost writes; also where the flush is about to be put back. */
START_TEST(failed_flush_is_not_forgotten)
{
	struct rig_req flush;
	uint32_t id;

	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	flush = rig_add(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	test_log_allow(LOG_LEVEL_ERROR, "writes may be lost");
	test_log_allow(LOG_LEVEL_ERROR, "flush: Input/output error");
	id = _i ? rig_send_iotlb(0, UINT64_MAX) : 0;
	if (_i)
		rig_wait(manual_cancelled(rig.store) == 1);
	manual_hold(rig.store, false);
	finish(-EIO);
	if (_i)
		ck_assert(rig_reply_is_ok(id));
	ck_assert_int_eq(rig_finish(&flush), IOERR);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_OUT, 0, 512), OK);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_FLUSH, 0, 0), IOERR);

	/* The next driver relies on none of those writes, where it reads what the store has. */
	rig.store->cached = false;
	rig_status(0);
	rig_driver_start();
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue_cancel");
	TCase *tc = suite_case(suite, "queue_cancel", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, memory_that_moves_has_what_was_cancelled_taken_again, 0, 2);
	tcase_add_test(tc, cancelled_requests_of_a_broken_ring_complete_with_errors);
	tcase_add_test(tc, what_was_cancelled_for_a_reset_is_not_taken_again);
	tcase_add_test(tc, asking_for_a_queues_state_cancels_nothing);
	tcase_add_test(tc, what_was_put_back_survives_the_server);
	tcase_add_test(tc, failure_is_tried_again_as_long_as_it_is_to_be);
	tcase_add_test(tc, next_try_goes_on_where_the_last_one_stopped);
	tcase_add_test(tc, failure_that_stays_is_an_error_in_the_end);
	tcase_add_loop_test(tc, failure_that_is_no_fault_of_the_store_is_not_tried_again, 0, 2);
	tcase_add_loop_test(tc, store_that_works_again_is_logged, 0, 2);
	tcase_add_test(tc, only_what_is_in_the_store_is_cancelled);
	tcase_add_loop_test(tc, failed_flush_is_not_forgotten, 0, 2);
	tcase_add_loop_test(tc, operation_that_is_tried_again_is_cancelled, 0, 2);
	tcase_add_loop_test(tc, reset_does_not_wait_for_the_next_try, 0, 2);
	return suite_run(suite);
}
