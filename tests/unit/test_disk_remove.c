// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/disk/disk*.c and disk_command.c: a disk is added, or removed by a command, while others are
 * served.
 */
#include "disk_fixture.h"

/* Serves the first two; the third one comes later. */
static void begin_two(void)
{
	ds.config.device_count = 2;
	ds_begin();
	for (int i = 0; i < 2; i++)
		ds_attach(i);
	ck_assert(ds.disks.started);
}

static void add_third(void)
{
	struct disk *added;

	ck_assert_int_eq(disks_add(&ds.disks, &ds.devices[2], &added), 0);
	ck_assert_ptr_eq(added, ds_disk(2));
	disk_start(added, false);
}

static void expect_two_served(void)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ds_disk(i)->state, DISK_ATTACHED);
		ck_assert_ptr_null(ds.job[i]);
	}
	ck_assert(!ds.disks.host.failed);
}

START_TEST(disk_is_made_and_ended_while_others_serve)
{
	begin_two();
	for (int round = 0; round < 3; round++) {
		char path[256];

		strcpy(path, ds.devices[2].path);
		ds.devices[2].path = path;
		add_third();
		ck_assert_int_eq(disks_add(&ds.disks, &ds.devices[2], NULL), -EEXIST);
		memset(path, 'x', 5); /* it has a copy of its own */
		ds_wait(ds.job[2]);
		ck_assert_int_eq(ds.job[2]->verb, ATTACH);
		ds_finish_job(2, 0);
		ck_assert_int_eq(ds_disk(2)->state, DISK_ATTACHED);
		ds_remove(2, false);
		ck_assert_int_eq(ds.job[2]->verb, DETACH_UNUSED);
		ds_finish_job(2, -EBUSY);
		ck_assert_int_eq(ds_disk(2)->state, DISK_BUSY);
		ds_wait(ds.job[2]);
		ck_assert(!ds.done);
		ds_finish_job(2, 0);
		ds_wait(ds.done);
		ck_assert_int_eq(ds.err, 0);
		ck_assert_ptr_null(ds_disk(2));
		ck_assert_ptr_null(fake_kern_dev("three"));
		ds_wait(!ds.disks.ended); /* its memory is free */
		expect_two_served();
		ds.devices[2].path = temp_path("%s-%d", ds_names[2], getpid());
	}
	ck_assert_uint_eq(ds.disks.remaining, 2);
}
END_TEST

static unsigned int ends;

static void count_ends(struct disks *disks, struct disk *ended)
{
	ck_assert_ptr_eq(disks, &ds.disks);
	ends += ended->state == DISK_GONE && !strcmp(ended->config->name, "three");
}

/* A takeover that is under way has to know. */
START_TEST(end_of_a_disk_is_watched)
{
	ds.disks.watch = count_ends;
	ends = 0;
	ds_begin_attached();
	ds_remove(2, false);
	ds_finish_job(2, 0);
	ds_wait(ds.done);
	ck_assert_uint_eq(ends, 1);
}
END_TEST

/* Whatever it is doing; but for CREATED: disk_that_is_ended_gives_its_turn_away. */
static const enum disk_state states[] = { DISK_OPENING, DISK_FAILED, DISK_ATTACHING,
					  DISK_ATTACHED };

START_TEST(disk_is_ended_in_each_state)
{
	enum disk_state state = states[_i];

	begin_two();
	if (state == DISK_FAILED) {
		test_log_expect(LOG_LEVEL_ERROR, "three: cannot open");
		test_log_expect(LOG_LEVEL_WARNING, "three: is not served");
		unlink(ds.devices[2].path);
	}
	add_third();
	if (state != DISK_OPENING)
		ds_wait(ds_disk(2)->state == MIN(state, DISK_ATTACHING));
	if (state == DISK_ATTACHED)
		ds_finish_job(2, 0);
	ck_assert_int_eq(ds_disk(2)->state, state);
	ds_remove(2, false);
	if (state == DISK_ATTACHING)
		ds_finish_job(2, 0);
	if (state == DISK_ATTACHING || state == DISK_ATTACHED)
		ds_finish_job(2, 0);
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, 0);
	ck_assert_ptr_null(ds_disk(2));
	ds_wait(!ds.disks.ended);
	ck_assert_ptr_null(fake_kern_dev("three"));
	expect_two_served();
}
END_TEST

/* The last one is ended while the start waits for it. */
START_TEST(start_does_not_wait_for_a_disk_that_is_ended)
{
	ds_begin();
	ds_attach(0);
	ds_wait(ds.job[1]);
	ds_remove(2, false);
	ds_finish_job(1, 0);
	ds_wait(!ds_disk(2));
	ck_assert(ds.disks.started);
	expect_two_served();
}
END_TEST

/* One that cannot be attached does not keep the turn of those that come later. */
START_TEST(disk_that_is_ended_gives_its_turn_away)
{
	ds_begin();
	ds_wait(ds.job[0] && ds_disk(1)->state == DISK_CREATED);
	ds_wait(ds_disk(2)->state == DISK_CREATED);
	ds_remove(1, false);
	ds_finish_job(0, 0);
	ds_attach(2);
	ds_wait(!ds_disk(1));
	ck_assert_int_eq(ds_disk(2)->state, DISK_ATTACHED);
	ck_assert(ds.disks.started);
}
END_TEST

START_TEST(no_disk_is_made_while_all_end)
{
	begin_two();
	disks_stop(&ds.disks, false);
	ck_assert_int_eq(disks_add(&ds.disks, &ds.devices[2], NULL), -ESHUTDOWN);
	ds_finish_job(0, -EBUSY);
	ds_finish_job(1, 0);
	ck_assert_int_eq(disks_add(&ds.disks, &ds.devices[2], NULL), -ESHUTDOWN);
}
END_TEST

/* The one who asked goes away: the disk is served on, as far as it still is. */
START_TEST(removal_is_called_off)
{
	enum disk_state state = _i < 2 ? DISK_DETACHING : DISK_BUSY;
	bool detached = _i == 1, all_stop = _i == 3;

	ds_begin_attached();
	ds_remove(1, false);
	if (state == DISK_BUSY)
		ds_finish_job(1, -EBUSY);
	ck_assert_int_eq(ds_disk(1)->state, state);
	if (all_stop)
		disks_stop(&ds.disks, false);
	disk_command_cancel(&ds.command);
	disk_command_cancel(&ds.command); /* no effect any more */
	if (state == DISK_DETACHING)
		ds_finish_job(1, detached ? 0 : -EBUSY);
	if (detached || all_stop) {
		ds_end();
		ck_assert_ptr_null(ds_disk(1));
	} else {
		ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
		ds_wait(!ds_disk(1)->timer.active && !ds_disk(1)->watch.active);
		ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
		ck_assert_ptr_null(ds.job[1]);
		ds_remove(1, false); /* and can be asked again */
		ds_finish_job(1, 0);
		ds_wait(ds.done);
	}
	ck_assert(!ds.disks.host.failed);
}
END_TEST

START_TEST(removal_by_force_detaches_a_disk_in_use)
{
	ds_begin_attached();
	ds_remove(1, true);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_FORCE);
	if (!_i) {
		ds_finish_job(1, 0);
		ds_wait(ds.done);
		ck_assert_int_eq(ds.err, 0);
		return;
	}
	test_log_expect(LOG_LEVEL_ERROR, "is still in use");
	ds_finish_job(1, -EBUSY); /* a virtual machine has it */
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, -EBUSY);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
}
END_TEST

START_TEST(disk_takes_one_command_at_a_time)
{
	struct disk_command second = { .verb = DISK_REMOVE, .done = ds_command_done };

	ds_begin_attached();
	ds_release(1);
	disk_command(ds_disk(1), &second);
	ck_assert(ds.done);
	ck_assert_int_eq(ds.err, -EBUSY);
	disk_command_cancel(&second); /* of the release, no effect */
	ds.done = false;
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_RELEASED);
	ds_remove(1, false); /* the new server's */
	ck_assert(ds.done);
	ck_assert_int_eq(ds.err, -EBUSY);
	disk_forget(ds_disk(1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk_remove");
	TCase *tc = suite_case(suite, "disk_remove", ds_setup, ds_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, disk_is_made_and_ended_while_others_serve);
	tcase_add_test(tc, end_of_a_disk_is_watched);
	tcase_add_loop_test(tc, disk_is_ended_in_each_state, 0, ARRAY_SIZE(states));
	tcase_add_test(tc, start_does_not_wait_for_a_disk_that_is_ended);
	tcase_add_test(tc, disk_that_is_ended_gives_its_turn_away);
	tcase_add_test(tc, no_disk_is_made_while_all_end);
	tcase_add_loop_test(tc, removal_is_called_off, 0, 4);
	tcase_add_loop_test(tc, removal_by_force_detaches_a_disk_in_use, 0, 2);
	tcase_add_test(tc, disk_takes_one_command_at_a_time);
	return suite_run(suite);
}
