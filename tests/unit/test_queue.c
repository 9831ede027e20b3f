// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/queue.c and its ring: kicks, interrupts, and rings that cannot be trusted. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device_fixture.h"
#include "sigbus.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK VIRTIO_BLK_S_OK

static void start(bool event_idx)
{
	rig.event_idx = event_idx;
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
}

static void add_reads(uint32_t queue, unsigned int count)
{
	unsigned int held = manual_held(rig.store);

	for (unsigned int i = 0; i < count; i++)
		rig_add(queue, VIRTIO_BLK_T_IN, i, 512);
	rig_go(queue);
	rig_wait(manual_held(rig.store) == held + count);
}

/* Completes @count reads together, and takes them back as a driver without interrupts would. */
static void finish_together(uint32_t queue, unsigned int count)
{
	manual_finish(rig.store, 0, count, 0);
	while (count--)
		rig_next(queue);
	rig_settle();
}

/* ---- interrupts ---- */

START_TEST(what_completes_together_is_one_interrupt)
{
	unsigned int calls;

	start(_i);
	calls = fake_kern_calls(FAKE_VQ_CPUS);
	add_reads(0, 10);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 0);
	guest_want_interrupt(rig.guests[0]);
	finish_together(0, 7);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 1);
	guest_want_interrupt(rig.guests[0]);
	finish_together(0, 3);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 2);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 1), 0);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_CPUS), calls); /* nor another system call */
}
END_TEST

START_TEST(driver_that_wants_no_interrupt_gets_none)
{
	start(false);
	rig.guests[0]->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	add_reads(0, 3);
	finish_together(0, 3);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 0);
}
END_TEST

START_TEST(interrupt_comes_at_the_entry_that_the_driver_named)
{
	start(true);
	*guest_used_event(rig.guests[0]) = htole16(3);
	add_reads(0, 8);
	for (int i = 0; i < 8; i++) {
		finish_together(0, 1);
		ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), i >= 3);
	}
}
END_TEST

/* The kernel takes our answer first and stores DRIVER_OK then; in between interrupts are lost. */
START_TEST(interrupt_before_the_kernel_has_stored_driver_ok_is_tried_again)
{
	rig_start();
	rig_status(RIG_ACKNOWLEDGE);
	rig_program();
	rig_status(RIG_FEATURES_OK);
	/* Its CPU goes meanwhile; not one that we might run on. */
	CPU_ZERO(&rig.kern->vqs[0].cpus);
	CPU_SET(CPU_SETSIZE - 1, &rig.kern->vqs[0].cpus);
	CPU_SET(CPU_SETSIZE - 1, &rig.kern->vqs[0].offline);
	ck_assert(rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_wait(fake_kern_calls(FAKE_VQ_IRQ) >= 3);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 0);
	fake_kern_driver_ok(rig.kern);
	rig_wait(fake_kern_irqs(rig.kern, 0) == 1);
	rig_let_time_pass(); /* longer than between two tries */
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 1);
}
END_TEST

START_TEST(interrupt_that_is_never_taken_does_not_keep_a_queue)
{
	bool reset = _i;

	rig_start();
	rig_status(RIG_ACKNOWLEDGE);
	rig_program();
	rig_status(RIG_FEATURES_OK);
	ck_assert(rig_reply_is_ok(rig_send_status(RIG_DRIVER_OK)));
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
	if (reset) {
		unsigned int tries;

		rig_status(0);
		rig_let_time_pass();
		tries = fake_kern_calls(FAKE_VQ_IRQ);
		rig_let_time_pass();
		ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_IRQ), tries);
	}
	rig_close();
	rig_let_time_pass(); /* longer than until the next try, which would find nothing */
}
END_TEST

START_TEST(interrupt_that_fails_is_logged)
{
	start(false);
	fake_kern_fail(FAKE_VQ_IRQ, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 0: cannot interrupt the driver: Input/");
	add_reads(0, 1);
	finish_together(0, 1);
}
END_TEST

/* ---- kicks ---- */

START_TEST(kick_for_nothing_is_harmless)
{
	start(_i);
	for (int i = 0; i < 5; i++) {
		ck_assert(fake_kern_kick(rig.kern, 0));
		rig_settle();
	}
	add_reads(0, 1);
	finish_together(0, 1);
	ck_assert_uint_eq(fake_kern_irqs(rig.kern, 0), 1);
}
END_TEST

START_TEST(kicks_and_interrupts_are_counted)
{
	const struct queue_stats *stats;

	start(_i);
	stats = &rig.device.queues.all[0].stats;
	for (int i = 0; i < 5; i++) {
		ck_assert(fake_kern_kick(rig.kern, 0));
		rig_settle();
	}
	ck_assert_uint_eq(load_relaxed(&stats->kicks), 5);
	for (unsigned int i = 1; i <= 3; i++) {
		guest_want_interrupt(rig.guests[0]);
		add_reads(0, 4);
		finish_together(0, 4);
		ck_assert_uint_eq(load_relaxed(&stats->interrupts), i);
	}
	ck_assert_uint_eq(load_relaxed(&rig.device.queues.all[1].stats.interrupts), 0);
}
END_TEST

/* Which of two queues is asked to kick depends on nothing that the other does. */
START_TEST(sleeping_queue_asks_for_its_kick)
{
	start(_i);
	for (unsigned int i = 0; i < 20; i++) {
		uint32_t queue = i % 2;

		rig_settle();
		rig_add(queue, VIRTIO_BLK_T_IN, 0, 512);
		ck_assert_msg(guest_publish(rig.guests[queue]), "no kick is asked for");
		ck_assert(fake_kern_kick(rig.kern, queue));
		rig_wait(manual_held(rig.store) == 1);
		finish_together(queue, 1);
	}
}
END_TEST

/* ---- rings that cannot be trusted ---- */

static void check_queue_is_dead(uint32_t queue)
{
	rig_add(queue, VIRTIO_BLK_T_IN, 0, 512);
	guest_publish(rig.guests[queue]);
	fake_kern_kick(rig.kern, queue);
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), 0);
	ck_assert(!rig_has_next(queue));
}

static void restart_driver(void)
{
	rig_status(0);
	rig_driver_start();
}

START_TEST(broken_ring_stops_alone_and_until_the_next_reset)
{
	start(_i);
	add_reads(0, 2);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: the driver wrote an invalid ring");
	driver_ring_expose(&rig.guests[0]->ring, rig.num);
	guest_publish(rig.guests[0]);
	ck_assert(fake_kern_kick(rig.kern, 0));
	rig_wait(test_log_count("wrote an invalid ring"));

	add_reads(1, 3);
	finish_together(0, 2); /* what was in flight comes back */
	finish_together(1, 3);
	check_queue_is_dead(0);
	add_reads(1, 1);
	finish_together(1, 1);

	restart_driver();
	add_reads(0, 1);
	finish_together(0, 1);
}
END_TEST

#define BREAKS 40

/* A driver may break its ring, reset the device and break it again, for ever. */
START_TEST(broken_rings_do_not_flood_the_log)
{
	start(false);
	test_log_allow(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: the driver wrote an invalid ring");
	test_log_allow(LOG_LEVEL_WARNING, "more lines like this were suppressed");
	for (unsigned int i = 1; i <= BREAKS; i++) {
		driver_ring_expose(&rig.guests[0]->ring, rig.num);
		guest_publish(rig.guests[0]);
		ck_assert(fake_kern_kick(rig.kern, 0));
		rig_settle();
		restart_driver();
		ck_assert_uint_eq(load_relaxed(&rig.device.queues.all[0].stats.broken), i);
	}
	ck_assert_uint_ge(test_log_count("wrote an invalid ring"), 1);
	ck_assert_uint_lt(test_log_count("wrote an invalid ring"), BREAKS);
}
END_TEST

START_TEST(broken_ring_does_not_hold_up_control_messages)
{
	start(false);
	add_reads(0, 1);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: the driver wrote an invalid ring");
	driver_ring_expose(&rig.guests[0]->ring, rig.num);
	guest_publish(rig.guests[0]);
	fake_kern_kick(rig.kern, 0);
	rig_wait(test_log_count("wrote an invalid ring"));
	finish_together(0, 1);
	ck_assert(rig_reply_is_ok(rig_send_iotlb(0, UINT64_MAX)));
	ck_assert(rig_reply_is_ok(rig_send_vq_state(0)));
	check_queue_is_dead(0); /* resumed, but not alive */
	rig_status(0);
}
END_TEST

static void take_memory(struct guest *g)
{
	ck_assert_int_eq(ftruncate(g->memfd, 0), 0);
}

static void give_memory_back(struct guest *g)
{
	for (unsigned int i = 0; i < g->area_count; i++)
		ck_assert_int_eq(
			ftruncate(g->memfd, (off_t)(g->areas[i].offset + g->areas[i].size)), 0);
}

/* The other queue works, and this one after a reset with its memory. */
static void check_others_and_reset(void)
{
	add_reads(1, 1);
	finish_together(1, 1);
	give_memory_back(rig.guests[0]);
	restart_driver();
	add_reads(0, 1);
	finish_together(0, 1);
}

/* Memory of a virtual machine that is truncated under us, and after that given back. */
START_TEST(queue_whose_memory_is_gone_stops_and_the_process_goes_on)
{
	ck_assert_int_eq(sigbus_guard_install(), 0);
	start(false);
	add_reads(0, 1);
	take_memory(rig.guests[0]);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: SIGBUS: the driver's memory was truncated");
	manual_finish(rig.store, 0, 1, 0);
	rig_wait(test_log_count("memory was truncated"));
	check_others_and_reset();
}
END_TEST

START_TEST(queue_whose_rings_are_gone_at_its_start_stops_once)
{
	ck_assert_int_eq(sigbus_guard_install(), 0);
	rig_start();
	rig_program();
	rig_status(RIG_FEATURES_OK);
	take_memory(rig.guests[0]);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: SIGBUS: the driver's memory was truncated");
	rig_status(RIG_DRIVER_OK);
	rig_settle();
	ck_assert_uint_eq(load_relaxed(&rig.device.queues.all[0].stats.broken), 1);
	ck_assert_uint_eq(test_log_count("stopped until driver reset"), 1);
	ck_assert_int_eq(rig_do(1, VIRTIO_BLK_T_IN, 0, 512), OK);
	give_memory_back(rig.guests[0]);
	restart_driver();
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
}
END_TEST

/* Requests of both end in the same turn of their worker, those of the other one first. */
START_TEST(other_queue_is_not_blamed_for_memory_that_is_gone)
{
	ck_assert_int_eq(sigbus_guard_install(), 0);
	start(_i);
	add_reads(1, 1);
	add_reads(0, 1);
	take_memory(rig.guests[0]);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: SIGBUS: the driver's memory was truncated");
	manual_finish(rig.store, 0, 2, 0);
	rig_wait(test_log_count("memory was truncated"));
	rig_next(1);
	add_reads(1, 1);
	finish_together(1, 1);
	give_memory_back(rig.guests[0]);
}
END_TEST

/* The worker looks at the rings of both queues, and nothing else is to be done. */
START_TEST(memory_that_goes_while_the_worker_polls_is_the_queues_own)
{
	ck_assert_int_eq(sigbus_guard_install(), 0);
	rig.config.poll_us = 60000000;
	start(_i);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: SIGBUS: the driver's memory was truncated");
	take_memory(rig.guests[0]);
	rig_let_time_pass();
	check_others_and_reset();
}
END_TEST

/* What the kernel does when the worker touches a page that the hardware reports as broken. */
static void touch_broken_page(struct ring_message *message)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = BUS_MCEERR_AR };

	(void)message;
	info.si_addr = (void *)rig.device.queues.all[0].vq.avail;
	ck_assert_int_eq(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info), 0);
}

START_TEST(memory_error_stops_the_queue_and_not_the_process)
{
	struct ring_message touch = { .run = touch_broken_page };

	ck_assert_int_eq(sigbus_guard_install(), 0);
	start(false);
	add_reads(0, 1);
	add_reads(1, 1);
	finish_together(0, 1);
	finish_together(1, 1);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"disk0: queue 0 stopped until driver reset: SIGBUS: the driver's memory was truncated");
	ring_post(&rig.workers[0].ring, &touch);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(test_log_count("memory was truncated"));
	ck_assert_uint_eq(manual_held(rig.store), 0);
	add_reads(1, 1);
	finish_together(1, 1);
	restart_driver();
	add_reads(0, 1);
	finish_together(0, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue");
	TCase *tc = suite_case(suite, "queue", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, what_completes_together_is_one_interrupt, 0, 2);
	tcase_add_test(tc, driver_that_wants_no_interrupt_gets_none);
	tcase_add_test(tc, interrupt_comes_at_the_entry_that_the_driver_named);
	tcase_add_test(tc, interrupt_before_the_kernel_has_stored_driver_ok_is_tried_again);
	tcase_add_loop_test(tc, interrupt_that_is_never_taken_does_not_keep_a_queue, 0, 2);
	tcase_add_test(tc, interrupt_that_fails_is_logged);
	tcase_add_loop_test(tc, kick_for_nothing_is_harmless, 0, 2);
	tcase_add_loop_test(tc, kicks_and_interrupts_are_counted, 0, 2);
	tcase_add_loop_test(tc, sleeping_queue_asks_for_its_kick, 0, 2);
	tcase_add_loop_test(tc, broken_ring_stops_alone_and_until_the_next_reset, 0, 2);
	tcase_add_test(tc, broken_rings_do_not_flood_the_log);
	tcase_add_test(tc, broken_ring_does_not_hold_up_control_messages);
	tcase_add_test(tc, queue_whose_memory_is_gone_stops_and_the_process_goes_on);
	tcase_add_test(tc, queue_whose_rings_are_gone_at_its_start_stops_once);
	tcase_add_loop_test(tc, other_queue_is_not_blamed_for_memory_that_is_gone, 0, 2);
	tcase_add_loop_test(tc, memory_that_goes_while_the_worker_polls_is_the_queues_own, 0, 2);
	tcase_add_test(tc, memory_error_stops_the_queue_and_not_the_process);
	return suite_run(suite);
}
