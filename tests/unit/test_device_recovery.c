// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server is killed and another goes on: vduse-blk/frontend/device.c and queue.c where the device was there
 * before.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <unistd.h>
#include <string.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK VIRTIO_BLK_S_OK

/* Reads on queue 0 that the store holds, of the sectors @first on. */
static void add_reads(uint32_t queue, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		rig_add(queue, VIRTIO_BLK_T_IN, first + i, 512);
}

static void start_with_reads(unsigned int count)
{
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	add_reads(0, 0, count);
	rig_go(0);
	rig_wait(manual_held(rig.store) == count);
}

/* A new server, whose store is held from the first request on. */
static void restart_held(void)
{
	rig_open();
	manual_hold(rig.store, true);
	rig_wait(rig.device.vduse.messages.ring);
	rig_settle();
}

static void check_held(const unsigned int *sectors, unsigned int count)
{
	ck_assert_uint_eq(manual_held(rig.store), count);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_uint_eq(manual_look(rig.store, i).offset, sectors[i] * SECTOR_SIZE);
}

static void finish_all(uint32_t queue)
{
	unsigned int count = manual_held(rig.store);

	manual_finish(rig.store, 0, count, 0);
	while (count--)
		rig_next(queue);
}

START_TEST(what_was_in_flight_comes_first_and_in_its_order)
{
	static const unsigned int expected[] = { 0, 2, 4, 5, 6, 7 };
	int heads[2];

	rig.event_idx = _i & 1;
	rig.indirect = _i & 2;
	start_with_reads(5);
	manual_finish(rig.store, 3, 1, 0);
	manual_finish(rig.store, 1, 1, 0);
	heads[0] = rig_next(0);
	heads[1] = rig_next(0);
	/* A head that was used before, and so is smaller than those taken before it. */
	ck_assert_int_eq(rig_add(0, VIRTIO_BLK_T_IN, 5, 512).head, heads[1]);
	ck_assert_int_lt(heads[1], heads[0]);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 4);
	rig_crash();

	/* The driver goes on, and nobody hears it. */
	add_reads(0, 6, 2);
	guest_publish(rig.guests[0]);
	restart_held();
	ck_assert_uint_eq(test_log_count("disk0: queue 0: repeats 4 requests that were in flight"),
			  1);
	check_held(expected, 6);
	finish_all(0);

	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	finish_all(0);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.popped, 7);
}
END_TEST

START_TEST(every_queue_that_ran_is_interrupted)
{
	unsigned int before[2];

	start_with_reads(1);
	rig_add(1, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 2);
	manual_finish(rig.store, 1, 1, 0);
	rig_next(1);
	rig_crash();
	for (uint32_t i = 0; i < 2; i++)
		before[i] = fake_kern_irqs(rig.kern, i);
	/* Its CPU has gone; not one that we might run on. */
	CPU_ZERO(&rig.kern->vqs[1].cpus);
	CPU_SET(CPU_SETSIZE - 1, &rig.kern->vqs[1].cpus);
	CPU_SET(CPU_SETSIZE - 1, &rig.kern->vqs[1].offline);
	restart_held();
	/* The one with something in flight and the one without: its last one may have been lost. */
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_uint_eq(fake_kern_irqs(rig.kern, i), before[i] + 1);
}
END_TEST

START_TEST(queue_that_was_never_used_starts_as_any_other)
{
	start_with_reads(2);
	rig_crash();
	rig_restart();
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 1), 0);
	ck_assert_int_eq(rig_do(1, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_next(0);
	rig_next(0);
}
END_TEST

START_TEST(server_may_be_killed_again_and_again)
{
	static const unsigned int expected[] = { 0, 1, 2, 3 };

	start_with_reads(4);
	for (int i = 0; i < 4; i++) {
		rig_crash();
		restart_held();
		check_held(expected, 4);
	}
	finish_all(0);
	rig_crash();
	restart_held();
	check_held(expected, 0);
}
END_TEST

START_TEST(requests_that_go_again_take_their_effect)
{
	struct rig_req req;
	uint8_t byte = 0x3c, found;

	start_with_reads(0);
	req = rig_add(0, VIRTIO_BLK_T_OUT, 5, 512);
	rig_fill(&req, &byte, 1);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	rig_crash();
	rig_restart();
	ck_assert_int_eq(rig_finish(&req), OK);
	req = rig_add(1, VIRTIO_BLK_T_IN, 5, 512);
	rig_go(1);
	ck_assert_int_eq(rig_finish(&req), OK);
	guest_read(rig.guests[1], req.data, &found, 1);
	ck_assert_uint_eq(found, byte);
}
END_TEST

/* ---- in the middle of something ---- */

START_TEST(message_without_a_reply_gets_it_from_the_next_server)
{
	static const unsigned int expected[] = { 0, 1 };
	uint32_t id;

	start_with_reads(2);
	id = _i == 0   ? rig_send_status(0)
	     : _i == 1 ? rig_send_iotlb(0, UINT64_MAX)
		       : rig_send_vq_state(0);
	rig_settle();
	rig_crash();
	ck_assert(!rig_has_reply(id));
	restart_held();
	check_held(expected, 2);
	ck_assert(!rig_has_reply(id));
	finish_all(0);
	ck_assert(rig_reply_is_ok(id));
}
END_TEST

/* The queues have stopped, and the kernel was not told so any more. */
START_TEST(crash_between_the_end_of_a_reset_and_its_reply_serves_nothing_again)
{
	uint32_t id;

	start_with_reads(3);
	finish_all(0);
	rig_settle();
	fake_kern_fail(FAKE_WRITE_RESPONSE, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "cannot reply to a control message");
	id = rig_send_status(0);
	rig_settle();
	rig_check_stopped();
	rig_crash();
	ck_assert(!rig_has_reply(id));
	restart_held();
	ck_assert_uint_eq(manual_held(rig.store), 0);
	ck_assert(!rig_has_next(0));
	ck_assert(rig_reply_is_ok(id));
	rig_check_stopped();
}
END_TEST

/* The kernel took the answer, so the driver is gone; the inflight log does not know. */
START_TEST(crash_after_the_reply_to_a_reset_serves_nothing_again)
{
	bool started_again = _i;

	start_with_reads(3);
	finish_all(0);
	rig_status(0);
	rig_crash();
	restart_held();
	ck_assert_uint_eq(manual_held(rig.store), 0);
	if (!started_again)
		return;
	rig_driver_start();
	add_reads(0, 0, 1);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	finish_all(0);
}
END_TEST

START_TEST(driver_that_has_not_made_its_queues_ready_yet_is_waited_for)
{
	start_with_reads(1);
	finish_all(0);
	rig_status(0);
	rig_status(RIG_DRIVER);
	rig_program();
	rig_program_vq(0, false);
	rig_status(RIG_FEATURES_OK);
	rig_status(RIG_DRIVER_OK);
	rig_crash();
	restart_held();
	rig_program_vq(0, true);
	add_reads(0, 0, 1);
	guest_publish(rig.guests[0]);
	ck_assert(fake_kern_kick(rig.kern, 0));
	rig_wait(manual_held(rig.store) == 1);
	finish_all(0);
}
END_TEST

/* It is no continuation of the ring that the last driver had. */
START_TEST(queue_that_was_made_ready_while_nobody_served_is_served)
{
	start_with_reads(3);
	finish_all(0);
	rig_status(0);
	rig_program();
	rig_program_vq(0, false);
	rig_status(RIG_DRIVER_OK);
	rig_crash();
	rig_program_vq(0, true);
	add_reads(0, 0, 2);
	guest_publish(rig.guests[0]);
	restart_held();
	ck_assert_uint_eq(manual_held(rig.store), 2);
	finish_all(0);
}
END_TEST

/* Large requests of two workers, when there is but one of them left. */
START_TEST(more_large_requests_than_a_worker_can_take_come_again_by_and_by)
{
	bool reset = _i;
	uint32_t id;

	rig.worker_count = 2;
	rig.config.queue_size = rig.num = 256;
	rig.indirect = true;
	start_with_reads(0);
	for (uint32_t i = 0; i < 512; i++)
		rig_add_pieces(i % 2, i / 2);
	rig_go(0);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 512);
	rig_crash();
	rig.worker_count = 1;
	restart_held();
	ck_assert_uint_eq(manual_held(rig.store),
			  257); /* and the second queue has one of its own */
	if (reset) {
		id = rig_send_status(0);
		rig_settle();
		manual_finish(rig.store, 0, 257, 0);
		ck_assert(rig_reply_is_ok(id));
		ck_assert_uint_eq(manual_held(rig.store), 0);
		return;
	}
	for (uint32_t i = 0; i < 512; i++) {
		rig_wait(manual_held(rig.store));
		manual_finish(rig.store, 0, 1, 0);
	}
	for (uint32_t i = 0; i < 512; i++)
		rig_next(i % 2);
	rig_status(0);
}
END_TEST

START_TEST(driver_goes_on_with_the_status_it_had)
{
	static const unsigned int expected[] = { 0, 1 };

	start_with_reads(2);
	rig_crash();
	restart_held();
	rig_status(RIG_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	rig_settle();
	check_held(expected, 2); /* no second start */
	finish_all(0);
	rig_status(0);
}
END_TEST

START_TEST(server_may_end_at_the_moment_it_begins_again)
{
	start_with_reads(2);
	rig_crash();
	rig_open();
	rig_wait(rig.device.vduse.status); /* the queues are told, and have not answered */
	rig_close();
	rig_next(0);
	rig_next(0);
}
END_TEST

START_TEST(server_may_end_while_it_begins_again)
{
	start_with_reads(2);
	rig_crash();
	rig_open();
	for (int i = 0; i < _i; i++)
		rig_turn();
	rig_close();
}
END_TEST

/* The kernel takes the old mappings away first, and tells the server then. */
START_TEST(death_while_memory_moves_is_survived)
{
	static const unsigned int expected[] = { 0, 1 };
	bool told = _i;
	uint32_t id;

	start_with_reads(2);
	rig_unmap();
	if (told)
		id = rig_send_iotlb(0, UINT64_MAX);
	rig_settle();
	rig_crash();
	if (told)
		rig_map();
	restart_held();
	if (told) {
		ck_assert(!rig_has_reply(id));
	} else {
		ck_assert_uint_eq(manual_held(rig.store), 0);
		ck_assert_msg(!rig_reply_is_ok(rig_send_vq_state(0)),
			      "an index says nothing of them");
		rig_map();
		ck_assert(fake_kern_kick(rig.kern, 0));
		rig_settle();
	}
	check_held(expected, 2);
	finish_all(0);
	rig_status(0);
}
END_TEST

/* ---- what cannot be gone on with ---- */

START_TEST(driver_whose_features_do_not_suit_is_not_served_until_it_is_reset)
{
	start_with_reads(1);
	rig_crash();
	rig.kern->features |= 1ull << VIRTIO_F_RING_PACKED;
	test_log_expect(LOG_LEVEL_ERROR,
			"cannot serve the adopted driver until driver reset: it accepted features");
	restart_held();
	ck_assert_uint_eq(manual_held(rig.store), 0);
	rig_status(0);
	rig_driver_start();
	add_reads(1, 0, 1);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 1);
	finish_all(1);
}
END_TEST

START_TEST(inflight_log_of_another_ring_stops_that_queue_alone)
{
	start_with_reads(2);
	rig_crash();
	rig.guests[0]->used->idx = htole16(1000);
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: queue 0 stopped until driver reset: Invalid argument");
	rig_restart();
	ck_assert_int_eq(rig_do(1, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_status(0);
}
END_TEST

START_TEST(inflight_log_of_another_disk_leaves_the_device_alone)
{
	start_with_reads(1);
	rig_crash();
	rig.config.queue_size = 32;
	test_log_expect(LOG_LEVEL_ERROR, "disk0: is attached already, and cannot be adopted");
	ck_assert_int_eq(rig_try_open(), -EINVAL);
	ck_assert_uint_eq(test_log_count("queue_size was 64 and is 32"), 1);

	ck_assert_ptr_nonnull(fake_kern_dev("disk0"));
	rig.config.queue_size = 64;
	rig_restart();
	rig_next(0);
}
END_TEST

/* The driver knows the old size, and can ask for the old serial number again at any time. */
START_TEST(driver_keeps_the_size_and_the_serial_number_that_it_knows)
{
	static const char old[] = "customer-database-no"; /* as the first versions cut it */
	char serial[VIRTIO_BLK_ID_BYTES + 1] = "";
	struct rig_req req;

	rig.config.name = (char *)"customer-database-node-1";
	strcpy(rig.config.serial, old);
	start_with_reads(1);
	rig_crash();
	ck_assert_int_eq(truncate(rig.config.path, 2 * RIG_DISK_SIZE), 0);
	rig.config.serial[0] = '\0';
	rig_restart();
	rig_next(0);
	ck_assert_uint_eq(rig.device.limits.size, RIG_DISK_SIZE);
	test_log_expect(LOG_LEVEL_WARNING, "invalid request, completed with");
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, RIG_DISK_SIZE / 512, 512), VIRTIO_BLK_S_IOERR);
	req = rig_add(0, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES);
	rig_go(0);
	ck_assert_int_eq(rig_finish(&req), OK);
	guest_read(rig.guests[0], req.data, serial, VIRTIO_BLK_ID_BYTES);
	ck_assert_str_eq(serial, old);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_recovery");
	TCase *tc = suite_case(suite, "device_recovery", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, what_was_in_flight_comes_first_and_in_its_order, 0, 4);
	tcase_add_test(tc, every_queue_that_ran_is_interrupted);
	tcase_add_test(tc, queue_that_was_never_used_starts_as_any_other);
	tcase_add_test(tc, server_may_be_killed_again_and_again);
	tcase_add_test(tc, requests_that_go_again_take_their_effect);
	tcase_add_loop_test(tc, message_without_a_reply_gets_it_from_the_next_server, 0, 3);
	tcase_add_test(tc, crash_between_the_end_of_a_reset_and_its_reply_serves_nothing_again);
	tcase_add_loop_test(tc, crash_after_the_reply_to_a_reset_serves_nothing_again, 0, 2);
	tcase_add_test(tc, driver_that_has_not_made_its_queues_ready_yet_is_waited_for);
	tcase_add_test(tc, queue_that_was_made_ready_while_nobody_served_is_served);
	tcase_add_loop_test(tc, more_large_requests_than_a_worker_can_take_come_again_by_and_by, 0,
			    2);
	tcase_add_test(tc, driver_goes_on_with_the_status_it_had);
	tcase_add_test(tc, server_may_end_at_the_moment_it_begins_again);
	tcase_add_loop_test(tc, server_may_end_while_it_begins_again, 0, 4);
	tcase_add_loop_test(tc, death_while_memory_moves_is_survived, 0, 2);
	tcase_add_test(tc, driver_whose_features_do_not_suit_is_not_served_until_it_is_reset);
	tcase_add_test(tc, inflight_log_of_another_ring_stops_that_queue_alone);
	tcase_add_test(tc, inflight_log_of_another_disk_leaves_the_device_alone);
	tcase_add_test(tc, driver_keeps_the_size_and_the_serial_number_that_it_knows);
	return suite_run(suite);
}
