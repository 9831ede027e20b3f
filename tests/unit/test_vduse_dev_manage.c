// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vduse_dev.c: devices that other processes have created, or have open. */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "suite.h"
#include "test_clock.h"
#include "test_log.h"
#include "vduse_fixture.h"

static int our_cpu;

int sched_getcpu(void)
{
	return our_cpu;
}

static void setup(void)
{
	vd_setup();
	test_clock_stop();
	our_cpu = 0;
}

static struct fake_dev *leave_behind(bool on_bus)
{
	struct fake_dev *left = fake_kern_orphan(VD_NAME);

	left->vq_num = VD_QUEUES;
	left->config_size = sizeof(vd_config_space);
	for (uint32_t i = 0; i < VD_QUEUES; i++)
		left->vqs[i].max_size = 64;
	if (on_bus)
		ck_assert_int_eq(fake_kern_bus_add(left), 0);
	return left;
}

START_TEST(managing_needs_the_control_node)
{
	ck_assert_int_eq(vduse_dev_may_manage(), 0);
	fake_kern_fail(FAKE_OPEN_CONTROL, 1, -EACCES);
	ck_assert_int_eq(vduse_dev_may_manage(), -EACCES);
}
END_TEST

START_TEST(who_serves_a_device_is_known)
{
	struct fake_dev *left = leave_behind(true);

	ck_assert_int_eq(vduse_dev_is_served(VD_NAME), 0);
	left->open_elsewhere = FAKE_FOR_EVER;
	ck_assert_int_eq(vduse_dev_is_served(VD_NAME), 1);
	left->open_elsewhere = 0;
	ck_assert_int_eq(vduse_dev_is_served("other"), -ENOENT);
	ck_assert_uint_eq(test_clock.slept_us, 0);
}
END_TEST

START_TEST(queues_of_an_orphan_are_counted)
{
	leave_behind(true)->open_elsewhere = 3;
	ck_assert_int_eq(vduse_dev_count_queues(VD_NAME), VD_QUEUES);
	ck_assert_uint_gt(test_clock.slept_us, 0);
}
END_TEST

START_TEST(queues_that_cannot_be_counted_are_logged)
{
	test_log_expect(LOG_LEVEL_ERROR, "other: cannot open /dev/vduse/other: No such file");
	ck_assert_int_eq(vduse_dev_count_queues("other"), -ENOENT);
	leave_behind(true);
	fake_kern_fail(FAKE_VQ_INFO, 2, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot examine its queues: Input/output");
	ck_assert_int_eq(vduse_dev_count_queues(VD_NAME), -EIO);
	fake_kern_fail(FAKE_VQ_INFO, 1, -EINVAL);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot examine its queues: Invalid");
	ck_assert_int_eq(vduse_dev_count_queues(VD_NAME), -EINVAL);
}
END_TEST

START_TEST(orphan_is_removed)
{
	leave_behind(false);
	ck_assert_int_eq(vduse_dev_remove(VD_NAME), 0);
	ck_assert_ptr_null(fake_kern_dev(VD_NAME));
}
END_TEST

START_TEST(removal_that_fails_is_logged)
{
	leave_behind(true);
	fake_kern_fail(FAKE_OPEN_CONTROL, 1, -EACCES);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot destroy the VDUSE device: Permission");
	ck_assert_int_eq(vduse_dev_remove(VD_NAME), -EACCES);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot destroy the VDUSE device: Device or");
	ck_assert_int_eq(vduse_dev_remove(VD_NAME), -EBUSY);
	ck_assert_uint_eq(test_clock.slept_us, 0); /* on the bus: to wait is of no use */
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 1);
}
END_TEST

START_TEST(waiting_for_a_device_to_be_closed_ends)
{
	leave_behind(false)->open_elsewhere = FAKE_FOR_EVER;
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot destroy the VDUSE device: Device or");
	ck_assert_int_eq(vduse_dev_remove(VD_NAME), -EBUSY);
	ck_assert_uint_eq(test_clock.slept_us, 1000 * 1000);
}
END_TEST

START_TEST(waiting_for_a_server_to_end_ends)
{
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	leave_behind(_i)->open_elsewhere = FAKE_FOR_EVER;
	test_log_expect(LOG_LEVEL_ERROR, "another process serves a device of that name");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EBUSY);
	ck_assert_uint_eq(test_clock.slept_us, 5000 * 1000);
	ck_assert_uint_eq(fake_kern_calls(FAKE_DESTROY), 0);
}
END_TEST

START_TEST(replacing_that_cannot_destroy_makes_no_other)
{
	struct fake_dev *left = leave_behind(false);
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_DESTROY, 1, -EPERM);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot create the VDUSE device: Operation not");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EPERM);
	ck_assert_ptr_eq(fake_kern_dev(VD_NAME), left);
	ck_assert_uint_eq(fake_kern_calls(FAKE_CREATE), 1);
	ck_assert_uint_eq(test_log_count("replaced"), 0);
}
END_TEST

START_TEST(device_that_cannot_be_opened_nor_destroyed_is_logged)
{
	struct vduse_dev_params p = vd_params();
	struct vduse_dev *out;

	fake_kern_fail(FAKE_OPEN_DEV, 1, -EACCES);
	fake_kern_fail(FAKE_DESTROY, 1, -EPERM);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": cannot open /dev/vduse/" VD_NAME);
	test_log_expect(LOG_LEVEL_ERROR, VD_NAME ": the VDUSE device stays in the kernel");
	ck_assert_int_eq(vduse_dev_new(&p, &out), -EACCES);
}
END_TEST

/* ---- interrupts whose CPU has gone ---- */

static void irq_of_queue_on(int cpu, bool offline)
{
	CPU_ZERO(&vd_kern->vqs[1].cpus);
	CPU_SET(cpu, &vd_kern->vqs[1].cpus);
	if (offline)
		CPU_SET(cpu, &vd_kern->vqs[1].offline);
	ck_assert_int_eq(vduse_dev_vq_irq_checked(vd_dev, 1), 0);
	ck_assert_uint_eq(vd_kern->vqs[1].irqs, 1);
}

START_TEST(interrupt_goes_to_the_cpu_that_we_run_on)
{
	our_cpu = _i;
	vd_make_running_dev(false);
	irq_of_queue_on(9, true);
	ck_assert_int_eq(CPU_COUNT(&vd_kern->vqs[1].cpus), 1);
	ck_assert(CPU_ISSET(our_cpu, &vd_kern->vqs[1].cpus));
}
END_TEST

START_TEST(interrupt_stays_where_it_may)
{
	our_cpu = 3;
	vd_make_running_dev(false);
	irq_of_queue_on(9, false);
	ck_assert(CPU_ISSET(9, &vd_kern->vqs[1].cpus));
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SET_CPUS), 1);
}
END_TEST

START_TEST(kernel_that_does_not_tell_the_cpus_is_left_alone)
{
	vd_make_running_dev(false);
	fake_kern_fail(FAKE_VQ_CPUS, 1, -ENOENT);
	irq_of_queue_on(9, false);
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SET_CPUS), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vduse_dev_manage");
	TCase *tc = suite_case(suite, "manage", setup, vd_teardown);

	tcase_add_test(tc, managing_needs_the_control_node);
	tcase_add_test(tc, who_serves_a_device_is_known);
	tcase_add_test(tc, queues_of_an_orphan_are_counted);
	tcase_add_test(tc, queues_that_cannot_be_counted_are_logged);
	tcase_add_test(tc, orphan_is_removed);
	tcase_add_test(tc, removal_that_fails_is_logged);
	tcase_add_test(tc, waiting_for_a_device_to_be_closed_ends);
	tcase_add_loop_test(tc, waiting_for_a_server_to_end_ends, 0, 2);
	tcase_add_test(tc, replacing_that_cannot_destroy_makes_no_other);
	tcase_add_test(tc, device_that_cannot_be_opened_nor_destroyed_is_logged);
	tcase_add_loop_test(tc, interrupt_goes_to_the_cpu_that_we_run_on, 0, 2);
	tcase_add_test(tc, interrupt_stays_where_it_may);
	tcase_add_test(tc, kernel_that_does_not_tell_the_cpus_is_left_alone);
	return suite_run(suite);
}
