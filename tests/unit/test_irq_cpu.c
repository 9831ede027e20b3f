// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/irq_cpu.c: which CPUs the interrupts of a queue go to. */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/irq_cpu.h"
#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"

static int ours;     /* a CPU of this process, the first one */
static int not_ours; /* and one that it may not use */
static const char *sysfs;

static void make_cpu(int cpu, bool can_go_offline)
{
	FILE *f;

	ck_assert_int_eq(mkdir(temp_path("%d/cpu%d", (int)getpid(), cpu), 0755), 0);
	if (!can_go_offline)
		return;
	f = fopen(temp_path("%d/cpu%d/online", (int)getpid(), cpu), "w");
	ck_assert(f && !fclose(f));
}

/* Each test is a process. */
static void make_no_cpus(void)
{
	cpu_set_t cpus;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (ours = 0; !CPU_ISSET(ours, &cpus);)
		ours++;
	for (not_ours = CPU_SETSIZE - 1; CPU_ISSET(not_ours, &cpus);)
		not_ours--;
	sysfs = temp_path("%d", (int)getpid());
	ck_assert_int_eq(mkdir(sysfs, 0755), 0);
}

/* What virtio_vdpa does before DRIVER_OK. */
static void set_cpus(uint32_t queue, int one, int other)
{
	cpu_set_t *cpus = &rig.kern->vqs[queue].cpus;

	CPU_ZERO(cpus);
	CPU_SET(one, cpus);
	CPU_SET(other, cpus);
}

static bool has_cpus(uint32_t queue, int one, int other)
{
	const cpu_set_t *cpus = &rig.kern->vqs[queue].cpus;

	return CPU_ISSET(one, cpus) && CPU_ISSET(other, cpus) &&
	       CPU_COUNT(cpus) == 1 + (one != other);
}

static void start(void)
{
	irq_cpu_init(sysfs);
	rig_start();
	set_cpus(0, ours, not_ours);
	set_cpus(1, ours, not_ours);
}

START_TEST(queue_with_several_cpus_has_one_and_no_other_queue_has_it)
{
	uint32_t first;

	make_cpu(ours, false);
	make_cpu(not_ours, false);
	start();
	rig_driver_start();
	first = has_cpus(0, ours, ours) ? 0 : 1;
	ck_assert(has_cpus(first, ours, ours));
	ck_assert(has_cpus(!first, ours, not_ours));
}
END_TEST

START_TEST(next_driver_is_given_one_as_well)
{
	make_cpu(ours, false);
	start();
	for (int i = 0; i < 3; i++) {
		set_cpus(0, ours, not_ours);
		set_cpus(1, not_ours, not_ours - 1);
		rig_driver_start();
		ck_assert(has_cpus(0, ours, ours));
		ck_assert(has_cpus(1, not_ours, not_ours - 1));
		rig_status(0);
	}
}
END_TEST

/* The queue is removed; the CPU is free for another one, here that of the next driver. */
START_TEST(what_a_server_had_is_free_when_it_ends)
{
	make_cpu(ours, false);
	start();
	for (int i = 0; i < 2; i++) {
		set_cpus(0, ours, not_ours);
		set_cpus(1, not_ours, not_ours);
		rig_driver_start();
		ck_assert(has_cpus(0, ours, ours));
		if (!i) {
			rig_crash();
			rig_restart();
			rig_status(0);
		}
	}
}
END_TEST

/* One that may go offline, and one that this process may not use. */
START_TEST(cpu_that_is_not_sure_is_not_chosen)
{
	make_cpu(_i ? not_ours : ours, !_i);
	start();
	rig_driver_start();
	ck_assert(has_cpus(0, ours, not_ours));
	ck_assert(has_cpus(1, ours, not_ours));
}
END_TEST

START_TEST(one_cpu_is_left_as_it_is_and_to_others)
{
	make_cpu(ours, false);
	start();
	set_cpus(0, ours, ours);
	rig_driver_start();
	ck_assert(has_cpus(0, ours, ours));
	ck_assert(has_cpus(1, ours, ours));
}
END_TEST

START_TEST(kernel_without_a_choice_is_asked_for_none)
{
	make_cpu(ours, false);
	start();
	fake_kern_fail(FAKE_VQ_CPUS, 1, -ENOENT);
	set_cpus(1, not_ours, not_ours);
	rig_driver_start();
	ck_assert(has_cpus(0, ours, not_ours));
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_SET_CPUS), 0);
}
END_TEST

/* What is refused is not kept from others. */
START_TEST(refused_cpu_is_free_again)
{
	make_cpu(ours, false);
	start();
	set_cpus(1, not_ours, not_ours);
	fake_kern_fail(FAKE_VQ_SET_CPUS, 1, -EINVAL);
	rig_driver_start();
	ck_assert(has_cpus(0, ours, not_ours));
	rig_status(0);
	rig_driver_start();
	ck_assert(has_cpus(0, ours, ours));
}
END_TEST

START_TEST(over_vhost_vdpa_nothing_is_asked)
{
	make_cpu(ours, false);
	rig.config.driver = DRIVER_VHOST_VDPA;
	start();
	rig_driver_start();
	ck_assert(has_cpus(0, ours, not_ours));
	ck_assert_uint_eq(fake_kern_calls(FAKE_VQ_CPUS), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("irq_cpu");
	TCase *tc = suite_case(suite, "irq_cpu", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_checked_fixture(tc, make_no_cpus, NULL);
	tcase_add_test(tc, queue_with_several_cpus_has_one_and_no_other_queue_has_it);
	tcase_add_test(tc, next_driver_is_given_one_as_well);
	tcase_add_test(tc, what_a_server_had_is_free_when_it_ends);
	tcase_add_loop_test(tc, cpu_that_is_not_sure_is_not_chosen, 0, 2);
	tcase_add_test(tc, one_cpu_is_left_as_it_is_and_to_others);
	tcase_add_test(tc, kernel_without_a_choice_is_asked_for_none);
	tcase_add_test(tc, refused_cpu_is_free_again);
	tcase_add_test(tc, over_vhost_vdpa_nothing_is_asked);
	return suite_run(suite);
}
