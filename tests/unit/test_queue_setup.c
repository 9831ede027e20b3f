// SPDX-License-Identifier: GPL-2.0-or-later
/* What a queue makes of what the driver has programmed: at DRIVER_OK, at kicks, at resumes. */
#include <check.h>
#include <errno.h>

#include "fds.h"
#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK VIRTIO_BLK_S_OK

/* Everything up to DRIVER_OK. */
static void start_almost(void)
{
	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
}

static void check_serves(uint32_t queue)
{
	ck_assert_int_eq(rig_do(queue, VIRTIO_BLK_T_IN, 0, 512), OK);
}

/* Makes a request on queue 1 and kicks it, whether it wants that or not. */
static struct rig_req kick_with_request(void)
{
	struct rig_req req = rig_add(1, VIRTIO_BLK_T_IN, 0, 512);

	guest_publish(rig.guests[1]);
	ck_assert(fake_kern_kick(rig.kern, 1));
	rig_settle();
	return req;
}

/* ---- queues that cannot be made ---- */

/* Whatever device_create() fails with in the middle, nothing stays, and the next try succeeds. */
START_TEST(device_without_descriptors_for_all_queues_leaves_nothing)
{
	unsigned int before = fds_open(), failures = 0;

	rig.scarce = true;
	rig.descriptors = 4; /* of the fake kernel */
	rig.config.queues = 4;
	test_log_allow(LOG_LEVEL_ERROR, "");
	test_log_allow(LOG_LEVEL_WARNING, "");
	while (rig_try_open()) {
		ck_assert_uint_eq(fds_open(), before);
		ck_assert_ptr_null(rig.device.queues.all);
		rig.descriptors++;
		failures++;
	}
	ck_assert_uint_ge(failures, 1);
	ck_assert_uint_ge(
		test_log_count("disk0: queue 3: cannot create an eventfd: Too many open files"), 1);
	rig.scarce = false;
}
END_TEST

/* ---- queues that become ready later, as those of old QEMUs ---- */

START_TEST(queue_that_is_not_ready_yet_is_served_from_its_first_kick_on)
{
	struct rig_req req;

	start_almost();
	rig_program_vq(1, false);
	rig_status(RIG_DRIVER_OK);
	check_serves(0);
	rig_settle();
	rig_program_vq(1, true);
	req = kick_with_request();
	ck_assert_int_eq(rig_finish(&req), OK);
	check_serves(1);
	rig_status(0);
}
END_TEST

START_TEST(kick_of_a_queue_that_is_not_ready_changes_nothing)
{
	struct rig_req req;

	start_almost();
	rig_program_vq(1, false);
	rig_status(RIG_DRIVER_OK);
	req = kick_with_request();
	ck_assert(!rig_has_next(1));
	rig_program_vq(1, true);
	ck_assert(fake_kern_kick(rig.kern, 1));
	ck_assert_int_eq(rig_finish(&req), OK);
}
END_TEST

START_TEST(waiting_queue_is_not_looked_at_while_memory_moves)
{
	unsigned int looks;
	struct rig_req req;
	uint32_t id;

	start_almost();
	rig_program_vq(1, false);
	rig_status(RIG_DRIVER_OK);
	manual_hold(rig.store, true);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);

	id = rig_send_iotlb(0, UINT64_MAX);
	rig_settle();
	looks = fake_kern_calls(FAKE_VQ_INFO);
	rig_program_vq(1, true);
	req = kick_with_request();
	ck_assert(!rig_has_reply(id));
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_INFO), looks);

	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 1, 0);
	ck_assert(rig_reply_is_ok(id));
	ck_assert_int_eq(rig_finish(&req), OK); /* the resume looks, since the kick is gone */
}
END_TEST

START_TEST(queue_that_still_waits_after_a_pause_goes_on_waiting)
{
	struct rig_req req;

	start_almost();
	rig_program_vq(1, false);
	rig_status(RIG_DRIVER_OK);
	ck_assert(rig_reply_is_ok(_i ? rig_send_vq_state(1) : rig_send_iotlb(0, UINT64_MAX)));
	rig_settle();
	rig_program_vq(1, true);
	req = kick_with_request();
	ck_assert_int_eq(rig_finish(&req), OK);
}
END_TEST

START_TEST(state_of_a_waiting_queue_is_what_the_driver_gave_it)
{
	uint16_t given = _i ? 4711 : 0;
	struct vduse_vq_info info;
	uint32_t id;

	start_almost();
	rig_status(RIG_DRIVER_OK);
	check_serves(1); /* in an earlier life */
	rig_status(0);
	rig_program();
	rig_program_vq(1, false);
	info = rig.kern->vqs[1].info;
	info.split.avail_index = given;
	fake_kern_set_vq(rig.kern, 1, &info);
	rig_status(RIG_DRIVER_OK);
	id = rig_send_vq_state(1);
	ck_assert(rig_reply_is_ok(id));
	ck_assert_uint_eq(fake_kern_reply(rig.kern, id)->vq_state.split.avail_index, given);
}
END_TEST

START_TEST(queue_that_never_was_ready_is_reset_with_the_others)
{
	start_almost();
	rig_program_vq(1, false);
	rig_status(RIG_DRIVER_OK);
	check_serves(0);
	rig_status(0);
	rig_driver_start();
	check_serves(1);
}
END_TEST

/* QEMU makes all queues ready, those of which its guest knows nothing as well. */
START_TEST(queue_that_is_ready_without_a_size_or_addresses_is_waited_for)
{
	struct vduse_vq_info info;
	struct rig_req req;

	start_almost();
	info = rig.kern->vqs[1].info;
	if (_i)
		info.num = 0;
	else
		info.desc_addr = info.driver_addr = info.device_addr = 0;
	fake_kern_set_vq(rig.kern, 1, &info);
	rig_status(RIG_DRIVER_OK);
	check_serves(0);
	req = kick_with_request();
	ck_assert(!rig_has_next(1));
	rig_program_vq(1, true);
	ck_assert(fake_kern_kick(rig.kern, 1));
	ck_assert_int_eq(rig_finish(&req), OK);
}
END_TEST

/* ---- what it is given ---- */

START_TEST(queue_begins_where_the_driver_says)
{
	static const uint16_t first[] = { 1, 63, 64, 65535 };
	struct vduse_vq_info info;

	start_almost();
	guest_reset(rig.guests[0], first[_i]);
	info = rig.kern->vqs[0].info;
	info.split.avail_index = first[_i];
	fake_kern_set_vq(rig.kern, 0, &info);
	rig_status(RIG_DRIVER_OK);
	for (int i = 0; i < 3; i++)
		check_serves(0);
	ck_assert(rig_reply_is_ok(rig_send_vq_state(0)));
	ck_assert_uint_eq(fake_kern_reply(rig.kern, 100 + rig.kern->message_count - 1)
				  ->vq_state.split.avail_index,
			  (uint16_t)(first[_i] + 3));
}
END_TEST

START_TEST(ring_may_be_smaller_than_it_could_be)
{
	rig.num = 4;
	start_almost();
	rig_status(RIG_DRIVER_OK);
	for (int i = 0; i < 20; i++)
		check_serves((uint32_t)i % 2);
}
END_TEST

/* A queue that cannot be served is told about and stops by itself. */
static const struct {
	uint32_t num; /* 0: as it should be */
	uint64_t desc_off;
	uint64_t avail_off;
	uint64_t used_off;
	const char *why;
} unusable[] = {
	{ .num = 128, .why = "the driver set a queue size above the limit" },
	{ .num = 48, .why = "Invalid argument" },
	{ .desc_off = 8, .why = "Invalid argument" },
	{ .avail_off = 1, .why = "Invalid argument" },
	{ .used_off = 2, .why = "Invalid argument" },
	{ .desc_off = 1ull << 40, .why = "its rings are not mapped" },
	{ .avail_off = 1ull << 40, .why = "its rings are not mapped" },
	{ .used_off = 1ull << 40, .why = "its rings are not mapped" },
	/* over the end of the region */
	{ .desc_off = GUEST_DATA - GUEST_MEM + 15 * GUEST_PAGE + 3200,
	  .why = "its rings are not mapped" },
};

START_TEST(queue_that_cannot_be_served_stops_alone)
{
	struct vduse_vq_info info;

	start_almost();
	info = rig.kern->vqs[1].info;
	info.num = unusable[_i].num ? unusable[_i].num : info.num;
	info.desc_addr += unusable[_i].desc_off;
	info.driver_addr += unusable[_i].avail_off;
	info.device_addr += unusable[_i].used_off;
	fake_kern_set_vq(rig.kern, 1, &info);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 1 stopped until driver reset: ");
	rig_status(RIG_DRIVER_OK);
	ck_assert_uint_eq(test_log_count(unusable[_i].why), 1);
	check_serves(0);
	kick_with_request();
	ck_assert(!rig_has_next(1));

	rig_status(0);
	rig_driver_start();
	check_serves(1);
}
END_TEST

/* A virtual machine whose memory is private: what to look for is said. */
START_TEST(private_memory_of_a_virtual_machine_is_told)
{
	struct vduse_vq_info info;

	rig.config.driver = DRIVER_VHOST_VDPA;
	start_almost();
	info = rig.kern->vqs[1].info;
	info.desc_addr += 1ull << 40;
	fake_kern_set_vq(rig.kern, 1, &info);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 1 stopped until driver reset: its rings are not mapped (is the ");
	rig_status(RIG_DRIVER_OK);
	check_serves(0);
}
END_TEST

START_TEST(kernel_that_does_not_tell_where_a_queue_is_stops_it)
{
	start_almost();
	fake_kern_fail(FAKE_VQ_INFO, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "stopped until driver reset: Input/output error");
	rig_status(RIG_DRIVER_OK);
	check_serves(1);
}
END_TEST

START_TEST(memory_that_cannot_be_mapped_is_not_the_drivers_fault)
{
	start_almost();
	fake_kern_fail(FAKE_IOTLB_FD, 1, -EMFILE);
	test_log_expect(LOG_LEVEL_ERROR, "no mapping for IOVA");
	test_log_expect(LOG_LEVEL_ERROR, "stopped until driver reset: Too many open files");
	rig_status(RIG_DRIVER_OK);
	check_serves(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue_setup");
	TCase *tc = suite_case(suite, "queue_setup", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, device_without_descriptors_for_all_queues_leaves_nothing);
	tcase_add_test(tc, queue_that_is_not_ready_yet_is_served_from_its_first_kick_on);
	tcase_add_test(tc, kick_of_a_queue_that_is_not_ready_changes_nothing);
	tcase_add_test(tc, waiting_queue_is_not_looked_at_while_memory_moves);
	tcase_add_loop_test(tc, queue_that_still_waits_after_a_pause_goes_on_waiting, 0, 2);
	tcase_add_loop_test(tc, state_of_a_waiting_queue_is_what_the_driver_gave_it, 0, 2);
	tcase_add_test(tc, queue_that_never_was_ready_is_reset_with_the_others);
	tcase_add_loop_test(tc, queue_that_is_ready_without_a_size_or_addresses_is_waited_for, 0,
			    2);
	tcase_add_loop_test(tc, queue_begins_where_the_driver_says, 0, 4);
	tcase_add_test(tc, ring_may_be_smaller_than_it_could_be);
	tcase_add_loop_test(tc, queue_that_cannot_be_served_stops_alone, 0, ARRAY_SIZE(unusable));
	tcase_add_test(tc, private_memory_of_a_virtual_machine_is_told);
	tcase_add_test(tc, kernel_that_does_not_tell_where_a_queue_is_stops_it);
	tcase_add_test(tc, memory_that_cannot_be_mapped_is_not_the_drivers_fault);
	return suite_run(suite);
}
