// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/disk/disk_watch.c: other programs remove, unbind and bind the device of a disk. */
#include "disk_fixture.h"

START_TEST(removed_device_is_recreated_and_served_when_it_comes_back)
{
	struct fake_dev *before;

	ds_begin_attached();
	before = fake_kern_dev("two");
	before->msg_timeout = 4711; /* to be recognized */
	ds_set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	ds_disk(1)->device.driver_changed(&ds_disk(1)->device);
	ds_wait(ds_disk(1)->state == DISK_REMOVED);
	ck_assert_uint_ne(fake_kern_dev("two")->msg_timeout, 4711);
	ck_assert_str_eq(ds_disk(1)->job.node, "");
	ck_assert_ptr_null(ds.job[1]);

	ds_wait(ds_disk(1)->device.vduse.messages.ring);
	ds_set_bus(1, VDPA_BOUND, "/dev/vdx");
	ds_disk(1)->device.driver_changed(&ds_disk(1)->device);
	ds_wait(ds_disk(1)->state == DISK_ATTACHED);
	ck_assert_str_eq(ds_disk(1)->job.node, "/dev/vdx");
}
END_TEST

/* "vdpa dev del" and "vdpa dev add", one right after the other. */
START_TEST(removed_device_that_is_back_already_is_adopted)
{
	struct fake_dev *dev;

	ds_begin_attached();
	dev = fake_kern_dev("two");
	dev->msg_timeout = 4711; /* to be recognized */
	ds_set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	ds_disk(1)->device.driver_changed(&ds_disk(1)->device);
	ds.job[1] = NULL;
	ds_wait(ds_disk(1)->state == DISK_CLOSING);
	ds_set_bus(1, VDPA_BOUND, "/dev/vdx");
	ds.bus[1] = VDPA_ABSENT; /* not in sysfs yet */
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
	ck_assert_uint_eq(fake_kern_dev("two")->msg_timeout, 4711);
}
END_TEST

START_TEST(unbound_device_is_shown_and_served_again)
{
	ds_begin_attached();
	ds.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver");
	ds_disk(0)->device.driver_changed(&ds_disk(0)->device);
	ds_wait(ds_disk(0)->state == DISK_UNBOUND);
	ds.bus[0] = VDPA_BOUND;
	ds_disk(0)->device.driver_changed(&ds_disk(0)->device);
	ds_wait(ds_disk(0)->state == DISK_ATTACHED);
}
END_TEST

/* The driver is reset or started: the only sign that another program may have changed the bus. */
static void driver_changes(int i)
{
	ds_disk(i)->device.driver_changed(&ds_disk(i)->device);
	ck_assert(ds_disk(i)->watch.active);
}

START_TEST(driver_that_only_restarts_changes_nothing)
{
	ds_begin_attached();
	driver_changes(0);
	ds_wait(!ds_disk(0)->watch.active);
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
	ck_assert_str_eq(ds_disk(0)->job.node, "/dev/vda");
	ck_assert_uint_eq(test_log_count("another program"), 0);
}
END_TEST

START_TEST(driver_that_is_bound_again_may_give_another_node)
{
	ds_begin_attached();
	ds_set_bus(0, VDPA_BOUND, "/dev/vdx");
	driver_changes(0);
	ds_wait(!ds_disk(0)->watch.active);
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
	ck_assert_str_eq(ds_disk(0)->job.node, "/dev/vdx");
	ck_assert_uint_eq(test_log_count("one: another program attached it"), 1);
}
END_TEST

START_TEST(changes_of_the_bus_are_logged_once)
{
	ds_begin_attached();
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver: /dev/vda is");
	ds.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it");
	ds_set_bus(1, VDPA_REMOVING, "");
	for (int i = 0; i < 2; i++)
		driver_changes(i);
	ds_wait(ds_disk(0)->state == DISK_UNBOUND);
	ck_assert_str_eq(ds_disk(0)->job.node, "");
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED); /* until it is gone */
	ds_set_bus(1, VDPA_ABSENT, "");
	ds_wait(ds_disk(1)->state == DISK_REMOVED);
	for (int i = 0; i < 2; i++) {
		driver_changes(i);
		ds_wait(!ds_disk(i)->watch.active);
	}
	ck_assert_int_eq(ds_disk(0)->state, DISK_UNBOUND);
	ck_assert_int_eq(ds_disk(1)->state, DISK_REMOVED);
}
END_TEST

/* The driver creates the disk, and udev its node, some time after it was bound. */
START_TEST(node_that_comes_late_is_waited_for)
{
	ds_begin_attached();
	ds.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver");
	driver_changes(0);
	ds_wait(ds_disk(0)->state == DISK_UNBOUND);
	ds_set_bus(0, VDPA_BOUND, "");
	driver_changes(0);
	ds_wait(ds_disk(0)->node_checks == 2);
	ck_assert_int_eq(ds_disk(0)->state, DISK_UNBOUND);
	if (_i) {
		ds_set_bus(0, VDPA_BOUND, "/dev/vdx");
		ds_wait(ds_disk(0)->state == DISK_ATTACHED);
		ck_assert_str_eq(ds_disk(0)->job.node, "/dev/vdx");
		return;
	}
	ds_disk(0)->node_checks = 18; /* time has passed: not for ever */
	ds_wait(!ds_disk(0)->watch.active);
	ck_assert_int_eq(ds_disk(0)->state, DISK_UNBOUND);
}
END_TEST

/* A disk that this server detaches, or that another server has, is not looked at. */
START_TEST(bus_is_not_watched_at_the_end)
{
	bool stops = _i;

	ds_begin_attached();
	driver_changes(1);
	if (stops) {
		disks_stop(&ds.disks, false);
	} else {
		ds_release(1);
		ds_wait(ds.done);
	}
	ds.bus[1] = VDPA_ABSENT;
	ds_wait(!ds_disk(1)->watch.active);
	ck_assert_int_eq(ds_disk(1)->state, stops ? DISK_DETACHING : DISK_RELEASED);
	if (!stops)
		disk_forget(ds_disk(1));
}
END_TEST

/* It is another program's removal: the disk is made again when it has ended. */
START_TEST(disk_whose_removal_was_under_way_is_recreated)
{
	ds_begin_attached();
	ds_release(1);
	ds_wait(ds.done);
	disk_take_back(ds_disk(1));
	for (int i = 0; i < 3; i++) {
		ds_wait(ds.job[1]);
		ck_assert_int_eq(ds.job[1]->verb, ADOPT);
		ds_finish_job(1, -EINPROGRESS);
		ck_assert_int_eq(ds_disk(1)->state, DISK_CREATED);
	}
	ck_assert_uint_eq(test_log_count("two: is being removed by another process"), 1);
	ds_wait(ds.job[1]);
	ds_set_bus(1, VDPA_ABSENT, "");
	ds_finish_job(1, -ESTALE);
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ATTACH);
	ck_assert_uint_eq(test_log_count("two: was removed from the vdpa bus"), 1);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
}
END_TEST

/* A removal that was under way when this server came goes on when the server is to end. */
START_TEST(stop_waits_for_a_removal_that_was_under_way_before)
{
	ds_begin_attached();
	ds_release(1);
	ds_wait(ds.done);
	disk_take_back(ds_disk(1));
	ds_wait(ds.job[1]);
	ds_finish_job(1, -EINPROGRESS);
	ck_assert_int_eq(ds_disk(1)->state, DISK_CREATED);
	disks_stop(&ds.disks, false);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_UNUSED);
	ds_finish_job(1, -EINPROGRESS);
	ck_assert_int_eq(ds_disk(1)->state, DISK_BUSY);
	ds_wait(ds.job[1]);
	ds_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk_watch");
	TCase *tc = suite_case(suite, "disk_watch", ds_setup, ds_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, removed_device_is_recreated_and_served_when_it_comes_back);
	tcase_add_test(tc, removed_device_that_is_back_already_is_adopted);
	tcase_add_test(tc, unbound_device_is_shown_and_served_again);
	tcase_add_test(tc, driver_that_only_restarts_changes_nothing);
	tcase_add_test(tc, driver_that_is_bound_again_may_give_another_node);
	tcase_add_test(tc, changes_of_the_bus_are_logged_once);
	tcase_add_loop_test(tc, node_that_comes_late_is_waited_for, 0, 2);
	tcase_add_loop_test(tc, bus_is_not_watched_at_the_end, 0, 2);
	tcase_add_test(tc, disk_whose_removal_was_under_way_is_recreated);
	tcase_add_test(tc, stop_waits_for_a_removal_that_was_under_way_before);
	return suite_run(suite);
}
