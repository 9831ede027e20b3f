// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/disk/disk*.c and disks.c: all disks are detached, or left in the kernel, when a server or a
 * rescue ends.
 */
#include "disk_fixture.h"

START_TEST(last_disk_is_detached_first)
{
	ds_begin_attached();
	ds.submitted = 0;
	disks_stop(&ds.disks, false);
	for (int i = 0; i < DS_DISKS; i++)
		ck_assert_int_eq(ds.order[i], DS_DISKS - 1 - i);
	ck_assert_int_eq(ds.submitted, DS_DISKS);
}
END_TEST

/* Neither another signal nor a second request to leave has an effect then. */
START_TEST(server_that_leaves_detaches_nothing)
{
	ds_begin_attached();
	disks_leave(&ds.disks);
	disks_leave(&ds.disks);
	disks_stop(&ds.disks, false);
	disks_stop(&ds.disks, true);
	ds_wait(!ds.disks.remaining);
	for (int i = 0; i < DS_DISKS; i++) {
		ck_assert_ptr_null(ds.job[i]);
		ck_assert_ptr_nonnull(fake_kern_dev(ds_names[i]));
	}
	ck_assert_uint_eq(test_log_count("leaving all disks as they are"), 1);
}
END_TEST

START_TEST(busy_disk_is_served_until_it_is_free)
{
	ds_begin_attached();
	disks_stop(&ds.disks, false);
	for (int i = 0; i < DS_DISKS; i++)
		ck_assert_int_eq(ds.job[i]->verb, DETACH_UNUSED);
	ds_finish_job(0, 0);
	ds_finish_job(2, 0);
	ds_finish_job(1, -EBUSY);
	ck_assert_int_eq(ds_disk(1)->state, DISK_BUSY);
	ds_wait(ds.job[1]);
	ds_finish_job(1, -EBUSY);
	ds.timers_wait = true;
	ds_wait(ds.disks.remaining == 1);
	ck_assert_int_eq(ds_disk(1)->state, DISK_BUSY);
	disks_stop(&ds.disks, true);
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_FORCE);
	ds_finish_job(1, 0);
	ds_wait(!ds.disks.remaining);
	ck_assert(!ds.disks.host.failed);
}
END_TEST

START_TEST(disk_that_cannot_be_detached_by_force_stays_in_the_kernel)
{
	ds_begin_attached();
	disks_stop(&ds.disks, true);
	test_log_expect(LOG_LEVEL_ERROR, _i ? "two: is still being removed by another process"
					    : "two: /dev/vdb is still in use");
	snprintf(ds.job[1]->node, sizeof(ds.job[1]->node), "/dev/vdb");
	ds_finish_job(1, _i ? -EINPROGRESS : -EBUSY);
	ds_finish_job(0, 0);
	ds_finish_job(2, 0);
	ds_wait(!ds.disks.remaining);
	ck_assert(ds.disks.host.failed);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	ck_assert_ptr_null(fake_kern_dev("one"));
}
END_TEST

/* The log names the user of a disk once, after a time in which a program such as udev can close it. */
START_TEST(disk_that_stays_in_use_is_named_once)
{
	ds_begin_attached();
	test_log_expect(LOG_LEVEL_WARNING,
			_i ? "two: is being removed by another process; it is served until the "
			     "removal has ended, or until a second signal"
			   : "two: /dev/vdb is in use: mkfs (4711); it is served until it is no "
			     "longer in use, or until a second signal");
	disks_stop(&ds.disks, false);
	for (int i = 0; i < 12; i++) {
		ds_wait(ds.job[1]);
		snprintf(ds.job[1]->node, sizeof(ds.job[1]->node), "/dev/vdb");
		snprintf(ds.job[1]->users, sizeof(ds.job[1]->users), "mkfs (4711)");
		ck_assert_uint_eq(test_log_count("two:"), i >= 10);
		ds_finish_job(1, _i ? -EINPROGRESS : -EBUSY);
		ck_assert_int_eq(ds_disk(1)->state, DISK_BUSY);
	}
}
END_TEST

START_TEST(disk_in_use_is_left_when_another_server_comes)
{
	ds_begin_attached();
	disks_stop(&ds.disks, false);
	ds_finish_job(0, 0);
	ds_finish_job(2, 0);
	disks_leave(&ds.disks);
	ck_assert_int_eq(ds_disk(1)->state, DISK_DETACHING);
	ds_finish_job(1, -EBUSY);
	ds_wait(!ds.disks.remaining);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	ck_assert(!ds.disks.host.failed);
}
END_TEST

START_TEST(device_that_waits_for_its_turn_is_destroyed_at_a_stop)
{
	ds_begin();
	ds_wait(ds.job[0] && ds_disk(1)->state == DISK_CREATED);
	disks_stop(&ds.disks, false);
	ck_assert_ptr_null(ds.job[1]); /* no driver ever had it */
	ds_end();
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

START_TEST(stop_while_a_disk_is_being_attached_detaches_it)
{
	ds_begin();
	ds_wait(ds.job[0]);
	disks_stop(&ds.disks, false);
	ds_finish_job(0, _i ? -ENODEV : 0);
	if (!_i) {
		ck_assert_int_eq(ds.job[0]->verb, DETACH_UNUSED);
		ds_finish_job(0, 0);
	}
	ds_wait(!ds.disks.remaining);
	ck_assert_ptr_null(fake_kern_dev("one"));
}
END_TEST

START_TEST(stop_while_stores_are_being_opened_does_not_wait)
{
	ds_begin();
	disks_stop(&ds.disks, false);
	ck_assert_uint_eq(ds.disks.remaining, 0);
	ck_assert_uint_eq(ds.disks.host.tasks, DS_DISKS);
	disks_reap(&ds.disks);
	ck_assert_uint_eq(ds.disks.ended, DS_DISKS); /* the tasks use them */
}
END_TEST

START_TEST(leaving_keeps_all_in_the_kernel)
{
	ds_begin_attached();
	disks_leave(&ds.disks);
	ds_wait(!ds.disks.remaining);
	for (int i = 0; i < DS_DISKS; i++) {
		ck_assert_ptr_null(ds.job[i]);
		ck_assert_ptr_nonnull(fake_kern_dev(ds_names[i]));
	}
	ck_assert(!ds.disks.host.failed);
}
END_TEST

/* ---- rescue ---- */

/* A device that no server has any more, and that its driver has. */
static void begin_rescue(void)
{
	ds.config.device_count = 1;
	ds.devices[0].rescue = ds.disks.host.rescue = true;
	unlink(ds.devices[0].path);
	ds.devices[0].path = (char *)"error:";
	ds.devices[0].size = 1 << 20;
	fake_kern_orphan("one");
	ds_set_bus(0, VDPA_BOUND, "/dev/vda");
	ds_begin();
}

START_TEST(rescue_detaches_at_once)
{
	begin_rescue();
	ds_wait(ds.job[0]);
	ck_assert_int_eq(ds.job[0]->verb, DETACH_UNUSED);
	ck_assert_str_eq(ds_disk(0)->device.backend->identity, ""); /* no store */
	ds_finish_job(0, -EBUSY);				    /* served until it is free */
	ds_attach(0);
	ds_wait(!ds.disks.remaining);
	ck_assert_ptr_null(fake_kern_dev("one"));
	ck_assert(!ds.disks.host.failed);
}
END_TEST

/* A rescue that fails is not tried again: it ends. */
START_TEST(rescue_that_fails_ends)
{
	fake_kern_fail(FAKE_OPEN_DEV, 2, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "one: cannot open");
	begin_rescue();
	ds_wait(!ds.disks.remaining);
	ck_assert(ds.disks.host.failed);
	ck_assert_ptr_nonnull(fake_kern_dev("one"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk_detach");
	TCase *tc = suite_case(suite, "disk_detach", ds_setup, ds_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, last_disk_is_detached_first);
	tcase_add_test(tc, server_that_leaves_detaches_nothing);
	tcase_add_test(tc, busy_disk_is_served_until_it_is_free);
	tcase_add_loop_test(tc, disk_that_cannot_be_detached_by_force_stays_in_the_kernel, 0, 2);
	tcase_add_loop_test(tc, disk_that_stays_in_use_is_named_once, 0, 2);
	tcase_add_test(tc, disk_in_use_is_left_when_another_server_comes);
	tcase_add_test(tc, device_that_waits_for_its_turn_is_destroyed_at_a_stop);
	tcase_add_loop_test(tc, stop_while_a_disk_is_being_attached_detaches_it, 0, 2);
	tcase_add_test(tc, stop_while_stores_are_being_opened_does_not_wait);
	tcase_add_test(tc, leaving_keeps_all_in_the_kernel);
	tcase_add_test(tc, rescue_detaches_at_once);
	tcase_add_test(tc, rescue_that_fails_ends);
	return suite_run(suite);
}
