// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/device.c: control messages, and that each is answered when its effect holds. */
#include <check.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK VIRTIO_BLK_S_OK

static void start(void)
{
	rig_start();
	rig_driver_start();
}

/* Requests that the store holds: @count on each queue. */
static void start_with_held(unsigned int count)
{
	start();
	manual_hold(rig.store, true);
	for (uint32_t i = 0; i < count * rig.config.queues; i++)
		rig_add(i % rig.config.queues, VIRTIO_BLK_T_IN, i, 512);
	for (uint32_t i = 0; i < rig.config.queues; i++)
		rig_go(i);
	rig_wait(manual_held(rig.store) == count * rig.config.queues);
}

static void finish_all(void)
{
	manual_finish(rig.store, 0, manual_held(rig.store), 0);
}

static void check_serves(uint32_t queue)
{
	manual_hold(rig.store, false);
	ck_assert_int_eq(rig_do(queue, VIRTIO_BLK_T_IN, 0, 512), OK);
}

/* ---- status and features ---- */

START_TEST(driver_comes_and_goes_and_comes_again)
{
	rig_start();
	for (int i = 0; i < 5; i++) {
		rig_driver_start();
		check_serves(0);
		check_serves(1);
		rig_status(0);
		ck_assert_uint_eq(rig_mapped_regions(), 0);
	}
}
END_TEST

START_TEST(driver_may_give_up_at_any_status)
{
	static const uint8_t walk[] = { RIG_ACKNOWLEDGE, RIG_DRIVER, RIG_FEATURES_OK,
					RIG_DRIVER_OK };

	rig_start();
	rig_program();
	for (int i = 0; i < _i; i++)
		rig_status(walk[i]);
	rig_status(0);
	rig_driver_start();
	check_serves(0);
	/* A failed driver says so, and that changes nothing but its status. */
	rig_status(RIG_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	check_serves(0);
}
END_TEST

START_TEST(driver_may_set_all_of_its_status_at_once)
{
	rig_start();
	for (int i = 0; i < 2; i++) {
		rig_program();
		rig_status(RIG_DRIVER_OK);
		check_serves(0);
		rig_status(0);
	}
}
END_TEST

START_TEST(features_that_do_not_suit_are_refused)
{
	static const struct {
		uint64_t wrong;
		const char *why;
	} cases[] = {
		{ 1ull << VIRTIO_F_VERSION_1, "it did not accept VIRTIO_F_VERSION_1" },
		{ 1ull << VIRTIO_BLK_F_RO, "it accepted features that were not offered" },
		{ 1ull << VIRTIO_F_RING_PACKED, "it accepted features that were not offered" },
	};

	rig_start();
	rig_status(RIG_DRIVER);
	rig_program();
	rig.kern->features ^= cases[_i].wrong;
	test_log_expect(LOG_LEVEL_ERROR, cases[_i].why);
	ck_assert(!rig_reply_is_ok(rig_send_status(RIG_FEATURES_OK)));
	/* A driver that goes on nevertheless. */
	test_log_expect(LOG_LEVEL_ERROR, cases[_i].why);
	ck_assert(!rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
	ck_assert(!fake_kern_kick(rig.kern, 0));

	rig_status(0);
	rig_driver_start();
	check_serves(0);
}
END_TEST

START_TEST(features_are_read_again_at_driver_ok)
{
	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
	rig.kern->features |= 1ull << VIRTIO_F_RING_PACKED;
	test_log_expect(LOG_LEVEL_ERROR, "it accepted features that were not offered");
	ck_assert(!rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
	fake_kern_fail(FAKE_FEATURES, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "cannot read its features");
	ck_assert(!rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
}
END_TEST

START_TEST(message_that_makes_no_sense_is_refused)
{
	start();
	test_log_expect(LOG_LEVEL_WARNING, "refused control message unknown message (4711)");
	ck_assert(!rig_reply_is_ok(
		fake_kern_send(rig.kern, (struct vduse_dev_request){ .type = 4711 })));
	test_log_expect(LOG_LEVEL_WARNING, "refused control message GET_VQ_STATE");
	ck_assert(!rig_reply_is_ok(rig_send_vq_state(rig.config.queues)));
	check_serves(1);
}
END_TEST

/* The kernel forgets the eventfd at every reset. */
START_TEST(every_start_sets_every_kick_eventfd)
{
	rig_start();
	for (int i = 0; i < 3; i++) {
		ck_assert(!fake_kern_kick(rig.kern, 0));
		rig_driver_start();
		ck_assert(fake_kern_kick(rig.kern, 0));
		ck_assert(fake_kern_kick(rig.kern, 1));
		rig_status(0);
	}
}
END_TEST

START_TEST(start_that_fails_in_one_queue_is_undone_in_all)
{
	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
	fake_kern_fail(FAKE_VQ_KICKFD, 1 + (unsigned int)_i, -ENOMEM);
	test_log_expect(LOG_LEVEL_ERROR, "stopped until driver reset: Cannot allocate memory");
	ck_assert(!rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
	ck_assert_uint_eq(rig_mapped_regions(), 0);
	rig_check_stopped();

	rig_status(RIG_DRIVER_OK); /* the next try succeeds */
	check_serves(0);
	check_serves(1);
}
END_TEST

/* ---- answers that wait ---- */

START_TEST(reply_to_a_reset_is_sent_when_nothing_is_in_flight_and_nothing_is_mapped)
{
	uint32_t id;

	start_with_held(3);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	id = rig_send_status(0);
	rig_settle();
	rig_go(0); /* too late: it is not taken any more */
	for (unsigned int left = 6; left; left--) {
		rig_settle();
		ck_assert_uint_eq(manual_held(rig.store), left);
		ck_assert_msg(!rig_has_reply(id), "answered with %u in flight", left);
		manual_finish(rig.store, left / 2, 1, 0);
	}
	ck_assert(rig_reply_is_ok(id));
	ck_assert_uint_eq(rig_mapped_regions(), 0);
	rig_check_stopped();
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.popped, 3);
}
END_TEST

START_TEST(mappings_are_dropped_before_the_reply_and_made_again_after_it)
{
	uint32_t id;

	start_with_held(2);
	rig_unmap(); /* so that there is nothing to be found yet */
	id = rig_send_iotlb(0, UINT64_MAX);
	rig_settle();
	ck_assert(!rig_has_reply(id));
	ck_assert_uint_gt(rig_mapped_regions(), 0);
	finish_all();
	ck_assert(rig_reply_is_ok(id));
	ck_assert_uint_eq(rig_mapped_regions(), 0);
	rig_settle();

	/* The rings are not there at the resume: a kick makes it look again. */
	rig_map();
	for (uint32_t i = 0; i < 2; i++) {
		rig_next(i);
		rig_next(i);
		rig_add(i, VIRTIO_BLK_T_IN, 0, 512);
		guest_publish(rig.guests[i]);
		ck_assert(fake_kern_kick(rig.kern, i));
	}
	rig_wait(manual_held(rig.store) == 2);
	finish_all();
	rig_next(0);
	rig_next(1);
	rig_status(0);
}
END_TEST

START_TEST(only_what_intersects_is_dropped)
{
	const struct guest_area *second;

	start();
	check_serves(0);
	check_serves(1);
	second = &rig.guests[1]->areas[0];
	ck_assert_uint_eq(rig_mapped_regions(), 2);
	rig_unmap();
	ck_assert(rig_reply_is_ok(rig_send_iotlb(second->start, second->start)));
	rig_settle();
	ck_assert_uint_eq(rig_mapped_regions(), 1);
	check_serves(0); /* goes on with what it has: the kernel would say no */
}
END_TEST

START_TEST(queue_state_is_what_would_be_taken_next)
{
	const struct vduse_dev_response *response;
	uint32_t id;

	start_with_held(3);
	rig_add(1, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 7);
	id = rig_send_vq_state(1);
	rig_settle();
	ck_assert(!rig_has_reply(id));
	finish_all();
	ck_assert(rig_reply_is_ok(id));
	response = fake_kern_reply(rig.kern, id);
	ck_assert_uint_eq(response->vq_state.index, 1);
	ck_assert_uint_eq(response->vq_state.split.avail_index, 4);
	for (int i = 0; i < 6; i++)
		rig_next(i % 2);
	rig_next(1);
	check_serves(0);
	check_serves(1);
}
END_TEST

START_TEST(messages_get_their_replies_one_after_the_other)
{
	uint32_t id[4];

	start_with_held(1);
	id[0] = rig_send_iotlb(0, UINT64_MAX);
	id[1] = rig_send_vq_state(0);
	id[2] = rig_send_status(RIG_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	id[3] = rig_send_status(0);
	rig_settle();
	for (int i = 0; i < 4; i++)
		ck_assert(!rig_has_reply(id[i]));
	finish_all();
	for (int i = 0; i < 4; i++)
		ck_assert(rig_reply_is_ok(id[i]));
	rig_check_stopped();
}
END_TEST

START_TEST(memory_that_moves_right_after_the_start_is_followed)
{
	uint32_t ok, update;

	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
	ok = rig_send_status(RIG_DRIVER_OK);
	update = rig_send_iotlb(0, UINT64_MAX);
	ck_assert(rig_reply_is_ok(ok));
	fake_kern_driver_ok(rig.kern);
	ck_assert(rig_reply_is_ok(update));
	check_serves(0);
	check_serves(1);
}
END_TEST

/* ---- the beginning and the end ---- */

START_TEST(creation_that_fails_leaves_nothing)
{
	char *runtime_dir = temp_path("run-%d", getpid());

	switch (_i) {
	case 0:
		fake_kern_fail(FAKE_CREATE, 1, -EPERM);
		test_log_expect(LOG_LEVEL_ERROR, "cannot create the VDUSE device");
		break;
	case 1:
		fake_kern_fail(FAKE_VQ_SETUP, 2, -EPERM);
		test_log_expect(LOG_LEVEL_ERROR, "cannot set up queue 1");
		break;
	case 2:
		ck_assert_int_eq(mkdir(runtime_dir, 0700), 0);
		ck_assert_int_eq(chmod(runtime_dir, 0777), 0);
		test_log_expect(LOG_LEVEL_ERROR, "other users may write to it");
		break;
	}
	ck_assert_int_eq(rig_try_open(), -EPERM);
	ck_assert_ptr_null(fake_kern_dev("disk0"));
}
END_TEST

START_TEST(close_waits_for_the_reply_that_is_under_way)
{
	uint32_t id;

	start_with_held(2);
	id = _i == 0   ? rig_send_status(0)
	     : _i == 1 ? rig_send_iotlb(0, UINT64_MAX)
		       : rig_send_vq_state(0);
	rig_settle();
	ck_assert(!rig_has_reply(id));
	rig_close();
	ck_assert(rig_reply_is_ok(id));
	for (int i = 0; i < 4; i++)
		rig_next(i % 2);
}
END_TEST

/* However far the start has come. */
START_TEST(close_lets_a_driver_start_that_has_begun_to)
{
	uint32_t id;

	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
	id = rig_send_status(RIG_DRIVER_OK);
	for (int i = 0; i < _i; i++)
		rig_turn();
	rig_close();
	if (_i)
		ck_assert(rig_reply_is_ok(id));
}
END_TEST

START_TEST(close_finishes_what_is_in_flight)
{
	start_with_held(4);
	rig_close();
	for (int i = 0; i < 8; i++)
		rig_next(i % 2);
}
END_TEST

START_TEST(device_that_nobody_used_is_closed)
{
	rig_start();
	if (_i) {
		rig_driver_start();
		check_serves(0);
		rig_status(0);
	}
	rig_close();
}
END_TEST

START_TEST(device_is_closed_while_its_queues_are_being_added)
{
	rig_open();
	for (int i = 0; i < _i; i++)
		rig_turn();
	rig_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device");
	TCase *tc = suite_case(suite, "device", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, driver_comes_and_goes_and_comes_again);
	tcase_add_loop_test(tc, driver_may_give_up_at_any_status, 0, 5);
	tcase_add_test(tc, driver_may_set_all_of_its_status_at_once);
	tcase_add_loop_test(tc, features_that_do_not_suit_are_refused, 0, 3);
	tcase_add_test(tc, features_are_read_again_at_driver_ok);
	tcase_add_test(tc, message_that_makes_no_sense_is_refused);
	tcase_add_test(tc, every_start_sets_every_kick_eventfd);
	tcase_add_loop_test(tc, start_that_fails_in_one_queue_is_undone_in_all, 0, 2);
	tcase_add_test(tc,
		       reply_to_a_reset_is_sent_when_nothing_is_in_flight_and_nothing_is_mapped);
	tcase_add_test(tc, mappings_are_dropped_before_the_reply_and_made_again_after_it);
	tcase_add_test(tc, only_what_intersects_is_dropped);
	tcase_add_test(tc, queue_state_is_what_would_be_taken_next);
	tcase_add_test(tc, messages_get_their_replies_one_after_the_other);
	tcase_add_test(tc, memory_that_moves_right_after_the_start_is_followed);
	tcase_add_loop_test(tc, creation_that_fails_leaves_nothing, 0, 3);
	tcase_add_loop_test(tc, close_waits_for_the_reply_that_is_under_way, 0, 3);
	tcase_add_loop_test(tc, close_lets_a_driver_start_that_has_begun_to, 0, 4);
	tcase_add_test(tc, close_finishes_what_is_in_flight);
	tcase_add_loop_test(tc, device_is_closed_while_its_queues_are_being_added, 0, 4);
	tcase_add_loop_test(tc, device_that_nobody_used_is_closed, 0, 2);
	return suite_run(suite);
}
