// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/disk/disk*.c and disks.c: disks are attached in their order. A disk that fails is tried
 * again, and a disk that takes too long keeps no other waiting.
 */
#include <sys/socket.h>

#include "disk_fixture.h"
#include "vhost_user_transcript.h"

START_TEST(new_disks_are_attached_in_the_order_of_the_file)
{
	ds_begin();
	for (int i = 0; i < DS_DISKS; i++) {
		ds_wait(ds.job[i]);
		ck_assert_int_eq(ds.job[i]->verb, ATTACH);
		for (int j = i + 1; j < DS_DISKS; j++)
			ck_assert_ptr_null(ds.job[j]);
		ck_assert(!ds.disks.started);
		ds_finish_job(i, 0);
		ck_assert_int_eq(ds_disk(i)->state, DISK_ATTACHED);
	}
	ck_assert(ds.disks.started);
	ck_assert(!ds.disks.host.failed);
	ds_end();
	for (int i = 0; i < DS_DISKS; i++)
		ck_assert_ptr_null(fake_kern_dev(ds_names[i]));
}
END_TEST

START_TEST(disk_that_fails_is_tried_again_while_others_are_served)
{
	int bad = _i;

	unlink(ds.devices[bad].path);
	test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "is not served; the server tries it again");
	ds_begin();
	for (int i = 0; i < DS_DISKS; i++) {
		if (i == bad)
			continue;
		ds_attach(i);
	}
	ds_wait(ds.disks.started && ds_disk(bad)->state == DISK_FAILED);
	ck_assert_ptr_nonnull(strstr(ds_disk(bad)->why, "No such file"));
	/* The reason is not logged a second time. */
	ds_wait(ds_disk(bad)->failures >= 2);
	ds_make_image(bad);
	ds_attach(bad);
	ck_assert_int_eq(ds_disk(bad)->state, DISK_ATTACHED);
	ck_assert_uint_eq(ds_disk(bad)->failures, 0);
	ck_assert_uint_eq(test_log_count("is served after"), 1);
}
END_TEST

/* The start ends while a disk that failed is being opened again. */
START_TEST(disk_that_failed_is_reported_whatever_it_does_when_the_start_ends)
{
	unlink(ds.devices[1].path);
	test_log_expect(LOG_LEVEL_ERROR, "two: cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "two: is not served; the server tries it again");
	ds.timers_wait = true;
	ds_begin();
	ds_wait(ds.job[0] && ds_disk(1)->state == DISK_FAILED);
	ds_disk(1)->state = DISK_OPENING;
	ds_finish_job(0, 0);
	ds_attach(2);
	ck_assert(ds.disks.started);
	ck_assert_int_eq(ds_disk(1)->state, DISK_OPENING);
	ds_disk(1)->state = DISK_FAILED;
}
END_TEST

START_TEST(server_whose_disks_all_fail_ends)
{
	for (int i = 0; i < DS_DISKS; i++) {
		unlink(ds.devices[i].path);
		test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	}
	ds_begin();
	ds_wait(!ds.disks.remaining);
	ck_assert(ds.disks.host.failed);
}
END_TEST

/* The last one fails when another one is being opened again. */
START_TEST(server_whose_disks_fail_one_after_the_other_ends)
{
	for (int i = 1; i < DS_DISKS; i++) {
		unlink(ds.devices[i].path);
		test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	}
	test_log_expect(LOG_LEVEL_ERROR, "one: cannot attach: No such device");
	ds.timers_wait = true;
	ds_begin();
	ds_wait(ds.job[0] && ds_disk(1)->state == DISK_FAILED && ds_disk(2)->state == DISK_FAILED);
	ds_disk(1)->state = DISK_OPENING;
	ds_finish_job(0, -ENODEV);
	ds_wait(!ds.disks.remaining);
	ck_assert(ds.disks.host.failed);
}
END_TEST

START_TEST(disk_that_cannot_be_attached_is_undone_and_tried_again)
{
	bool has_reason = _i;

	test_log_expect(LOG_LEVEL_ERROR,
			has_reason ? "one: no driver" : "one: cannot attach: No such device");
	test_log_expect(LOG_LEVEL_WARNING, "one: is not served");
	ds_begin();
	ds_wait(ds.job[0]);
	if (has_reason)
		snprintf(ds.job[0]->error, sizeof(ds.job[0]->error), "one: no driver");
	ds.timers_wait = true; /* the others are attached before it is tried again */
	ds_finish_job(0, -ENODEV);
	ds_wait(ds_disk(0)->state == DISK_FAILED);
	ds.timers_wait = true; /* or it may be attached before the start ends */
	ck_assert_ptr_null(fake_kern_dev("one"));
	for (int i = 1; i < DS_DISKS; i++)
		ds_attach(i);
	ds.timers_wait = false;
	ds_attach(0);
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
}
END_TEST

/* The first one's job never ends. */
START_TEST(disk_that_is_slow_gives_its_turn_away)
{
	ds_begin();
	ds_wait(ds.job[0] && ds_disk(1)->state == DISK_CREATED);
	ds_seconds_pass(5);
	ck_assert_ptr_null(ds.job[1]);
	ds_seconds_pass(6);
	ds_wait(ds.job[1]);
	ck_assert_ptr_nonnull(ds.job[0]);
	ds_finish_job(1, 0);
	ds_attach(2);
	ck_assert(!ds.disks.started);
	ds_finish_job(0, 0);
	ck_assert(ds.disks.started);
	ck_assert_uint_eq(test_log_count("is not served"), 0);
}
END_TEST

static void use_socket(void)
{
	ds.devices[1].driver = DRIVER_VHOST_USER;
	strcpy(ds.devices[1].socket, temp_path("two.sock"));
	ds.devices[1].socket_mode = 0600;
}

/* The kernel does not number sockets. */
START_TEST(disk_of_a_socket_waits_for_no_turn)
{
	use_socket();
	ds_begin();
	ds_wait(ds.job[0] && ds.job[1]);
	ck_assert_int_eq(vhost_user_listen("two", ds.job[1]->listener), 0);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
	ck_assert_ptr_null(ds.job[2]);
	ds_finish_job(0, 0);
	ds_attach(2);
}
END_TEST

/* The connection of a front end, passed by a former server. */
static int connection[2], transcript[2];

static void pass_connection(bool held)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, transcript), 0);
	fds[0] = connection[0];
	fds[1] = transcript[0];
	disk_set_connection(ds_disk(1), fds, held);
}

static void attach_socket(void)
{
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ATTACH);
	ck_assert_int_eq(vhost_user_listen("two", ds.job[1]->listener), 0);
	ds_finish_job(1, 0);
}

static void begin_resuming(bool held)
{
	use_socket();
	ds_begin();
	pass_connection(held);
	ds_attach(0);
	attach_socket();
	ds_turn();
	ck_assert(ds_disk(1)->resuming);
	ck_assert(!disk_start_ended(ds_disk(1)));
}

/* NUM of a ring that does not exist, and then the end. */
static void resume(bool good, bool all)
{
	const uint32_t num[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_VERSION, 8, 99, 64 };
	const uint32_t end[] = { VHOST_USER_TRANSCRIPT_END, VHOST_USER_VERSION, 8, 0, 0 };
	struct disk *disk = ds_disk(1);

	if (!good)
		ck_assert_int_eq(write(transcript[1], num, sizeof(num)), sizeof(num));
	if (all)
		ck_assert_int_eq(write(transcript[1], end, sizeof(end)), sizeof(end));
	close(transcript[1]);
	ds_wait(!disk->resuming);
}

/*
 * The start of the disk has ended when the transcript was received. 0: it was; 1: it fails, and the former
 * server takes the connection back; 2: it cannot any more; 3: it would refuse the same message.
 */
START_TEST(disk_with_a_connection_of_a_former_server)
{
	begin_resuming(_i != 2);
	if (_i == 1)
		test_log_expect(LOG_LEVEL_ERROR, "two: cannot continue the connection");
	if (_i == 1)
		test_log_expect(LOG_LEVEL_WARNING, "two: is not served");
	if (_i == 3)
		test_log_expect(LOG_LEVEL_ERROR, "two: refused message SET_VRING_NUM");
	else if (_i)
		test_log_expect(LOG_LEVEL_ERROR, "has passed only a part of its state");
	resume(_i != 3, _i == 0 || _i == 3);
	if (_i == 1)
		ds_wait(ds_disk(1)->state == DISK_FAILED);
	ck_assert_int_eq(ds_disk(1)->state, _i == 1 ? DISK_FAILED : DISK_ATTACHED);
	ck_assert(disk_start_ended(ds_disk(1)));
	ds_attach(2);
	disk_keep_connection(ds_disk(1));
	ds_end();
	close(connection[1]);
}
END_TEST

/* It is to be detached, and is in use: the end of the transcript does not change that. */
START_TEST(disk_resumes_while_it_is_busy)
{
	begin_resuming(false);
	disks_stop(&ds.disks, false);
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_UNUSED);
	ck_assert_int_ne(ds.job[1]->front_end, 0);
	ds.timers_wait = true;
	ds_finish_job(1, -EBUSY);
	resume(true, true);
	ck_assert_int_eq(ds_disk(1)->state, DISK_BUSY);
	ds.timers_wait = false;
	ds_wait(ds.job[1]); /* tried again */
	ds_end();
	close(connection[1]);
}
END_TEST

/* Taken back after a signal: a front end uses it, which only its device can tell. */
START_TEST(disk_with_a_connection_is_not_detached_at_once)
{
	use_socket();
	ds_begin();
	pass_connection(false);
	ds_disk(1)->taken_back = true;
	disks_stop(&ds.disks, false);
	attach_socket();
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_UNUSED);
	ck_assert_int_ne(ds.job[1]->front_end, 0);
	resume(true, true);
	ds_end();
	close(connection[1]);
}
END_TEST

/* It is served when it can be. */
START_TEST(start_ends_without_a_disk_that_takes_too_long)
{
	ds_begin();
	ds_wait(ds.job[0]);
	ds_wait(ds_disk(1)->state == DISK_CREATED && ds_disk(2)->state == DISK_CREATED);
	ds_seconds_pass(11);
	for (int i = 1; i < DS_DISKS; i++)
		ds_attach(i);
	ds_seconds_pass(15);
	ck_assert(!ds.disks.started);
	ds_seconds_pass(5);
	ck_assert(ds.disks.started);
	ck_assert_uint_eq(test_log_count("one: is not served yet: it is attaching"), 1);
	ck_assert_uint_eq(test_log_count("is not served"), 1);
	ck_assert(!ds_disk(0)->slow_timer.active);
	ds_finish_job(0, 0);
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
}
END_TEST

static void begin_and_finish_jobs(void)
{
	ds_begin();
	for (ds_finish_jobs(); !ds.disks.started; ds_finish_jobs())
		ds_turn();
}

START_TEST(two_paths_to_the_same_bytes_are_refused)
{
	unlink(ds.devices[2].path);
	ck_assert_int_eq(link(ds.devices[0].path, ds.devices[2].path), 0);
	ds.devices[0].size = ds.devices[2].size = 512 << 10;
	ds.devices[2].offset = _i ? 512 << 10 : 0;
	test_log_allow(LOG_LEVEL_WARNING, "open for writing too"); /* the other's task */
	if (!_i) {
		test_log_allow(LOG_LEVEL_ERROR, "shares bytes with disk ");
		test_log_allow(LOG_LEVEL_ERROR, "in use by another process");
		test_log_expect(LOG_LEVEL_WARNING, "is not served");
	}
	begin_and_finish_jobs();
	ck_assert_int_eq((ds_disk(0)->state == DISK_ATTACHED) +
				 (ds_disk(2)->state == DISK_ATTACHED),
			 _i ? 2 : 1);
}
END_TEST

START_TEST(only_readers_share_their_bytes)
{
	bool one_writes = _i;

	unlink(ds.devices[2].path);
	ck_assert_int_eq(link(ds.devices[0].path, ds.devices[2].path), 0);
	ds.devices[0].readonly = true;
	ds.devices[2].readonly = !one_writes;
	if (one_writes) {
		test_log_allow(LOG_LEVEL_WARNING, "open for writing too");
		test_log_allow(LOG_LEVEL_ERROR, "shares bytes with disk ");
		test_log_allow(LOG_LEVEL_ERROR, "in use by another process");
		test_log_expect(LOG_LEVEL_WARNING, "is not served");
	}
	begin_and_finish_jobs();
	ck_assert_int_eq((ds_disk(0)->state == DISK_ATTACHED) +
				 (ds_disk(2)->state == DISK_ATTACHED),
			 one_writes ? 1 : 2);
}
END_TEST

/* It was removed from the bus, and cannot be made again: the log says so as at the start. */
START_TEST(disk_that_fails_later_is_reported_too)
{
	ds_begin_attached();
	fake_kern_fail(FAKE_CREATE, 1, -EPERM);
	ds_set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	test_log_expect(LOG_LEVEL_ERROR, "two: cannot create the VDUSE device");
	test_log_expect(LOG_LEVEL_WARNING, "two: is not served; the server tries it again");
	ds_disk(1)->device.driver_changed(&ds_disk(1)->device);
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ATTACH);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
	ck_assert_uint_eq(test_log_count("two: is served after 1 failed attempts"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk_start");
	TCase *tc = suite_case(suite, "disk_start", ds_setup, ds_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, new_disks_are_attached_in_the_order_of_the_file);
	tcase_add_loop_test(tc, disk_that_fails_is_tried_again_while_others_are_served, 0,
			    DS_DISKS);
	tcase_add_test(tc, disk_that_failed_is_reported_whatever_it_does_when_the_start_ends);
	tcase_add_test(tc, server_whose_disks_all_fail_ends);
	tcase_add_test(tc, server_whose_disks_fail_one_after_the_other_ends);
	tcase_add_loop_test(tc, disk_that_cannot_be_attached_is_undone_and_tried_again, 0, 2);
	tcase_add_test(tc, disk_that_is_slow_gives_its_turn_away);
	tcase_add_test(tc, disk_of_a_socket_waits_for_no_turn);
	tcase_add_loop_test(tc, disk_with_a_connection_of_a_former_server, 0, 4);
	tcase_add_test(tc, disk_resumes_while_it_is_busy);
	tcase_add_test(tc, disk_with_a_connection_is_not_detached_at_once);
	tcase_add_test(tc, start_ends_without_a_disk_that_takes_too_long);
	tcase_add_loop_test(tc, two_paths_to_the_same_bytes_are_refused, 0, 2);
	tcase_add_loop_test(tc, only_readers_share_their_bytes, 0, 2);
	tcase_add_test(tc, disk_that_fails_later_is_reported_too);
	return suite_run(suite);
}
