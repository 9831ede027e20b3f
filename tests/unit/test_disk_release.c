// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/disk/disk*.c and disk_command.c: a disk is released to a new server, and adopted again when
 * the new server gives up.
 */
#include "disk_fixture.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "frontend/vhost_user_handover.h"

START_TEST(disk_is_handed_over_and_the_others_stay)
{
	ds_begin_attached();
	ds_release(1);
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_RELEASED);
	ck_assert_int_eq(fake_kern_dev("two")->fd, -1);
	ck_assert_ptr_null(ds_disk(1)->device.backend);
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
	if (_i) {
		disk_forget(ds_disk(1));
		ck_assert_uint_eq(ds.disks.remaining, DS_DISKS - 1);
		return;
	}
	disk_take_back(ds_disk(1));
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
}
END_TEST

/* A connection of a front end, as its device leaves it. Return: the front end's end */
static int give_connection(struct disk *disk)
{
	struct vhost_user_handover *handover = calloc(1, sizeof(*handover));
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*handover = (struct vhost_user_handover){
		.ring = &ds.ring,
		.connection = ends[0],
	};
	vhost_user_transcript_init(&handover->transcript);
	disk->handover = handover;
	return ends[1];
}

static bool is_closed(int end)
{
	return recv(end, &(char){ 0 }, 1, MSG_DONTWAIT) == 0;
}

/* 0: taken back; 1: the new server serves it. */
START_TEST(connection_is_kept_until_the_new_server_serves)
{
	struct disk *disk;
	int end, fds[DEVICE_CONNECTION_FDS];

	ds_begin_attached();
	disk = ds_disk(1);
	ck_assert_int_eq(disk_pass_connection(disk, fds), -ENOENT);
	ds_release(1);
	ds_wait(ds.done);
	end = give_connection(disk);
	for (unsigned int i = 0; i < 2; i++) { /* the new server died, or its socket was full */
		ck_assert_int_eq(disk_pass_connection(disk, fds), 0);
		close(fds[1]);
	}
	if (_i) {
		disk_forget(disk);
	} else {
		disk_take_back(disk);
		ck_assert_int_ge(disk->connection.fds[0], 0);
		ds_attach(1);
		ck_assert(
			!is_closed(end)); /* the next device takes it, if it is a vhost-user disk */
		ds.done = false;
		ds_release(1); /* before it was resumed */
		ds_wait(ds.done);
		ck_assert_int_eq(disk_pass_connection(disk, fds), 0);
		close(fds[1]);
		disk_take_back(disk);
		ds_attach(1);
	}
	if (_i)
		ds_wait(is_closed(end));
	ds_end();
	ds_wait(!tasks_running());
	ck_assert(is_closed(end));
	close(end);
}
END_TEST

START_TEST(release_that_is_called_off_while_it_is_under_way)
{
	ds_begin_attached();
	ds_release(1);
	ck_assert_int_eq(ds_disk(1)->state, DISK_CLOSING);
	disk_take_back(ds_disk(1));
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_finish_job(1, 0);
	ck_assert(!ds.done);
	ck_assert_int_eq(ds_disk(1)->state, DISK_ATTACHED);
}
END_TEST

START_TEST(release_that_is_called_off_while_the_server_stops)
{
	ds_begin_attached();
	ds_release(1);
	ck_assert_int_eq(ds_disk(1)->state, DISK_CLOSING);
	disks_stop(&ds.disks, false);
	disk_take_back(ds_disk(1));
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_finish_job(1, 0);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_UNUSED);
	ds_end();
	ck_assert(!ds.done);
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

/* By a second signal it is given up, which is told. */
START_TEST(stop_while_a_disk_is_taken_back)
{
	ds_begin_attached();
	ds_release(1);
	ds_wait(ds.done);
	disk_take_back(ds_disk(1));
	ck_assert_int_eq(ds_disk(1)->state, DISK_OPENING);
	disks_stop(&ds.disks, false);
	if (_i) {
		test_log_expect(LOG_LEVEL_ERROR,
				"two: could not be opened again after a cancelled takeover");
		disks_stop(&ds.disks, true);
		ds_end();
		ck_assert(ds.disks.host.failed);
		ck_assert_ptr_nonnull(fake_kern_dev("two"));
		return;
	}
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_end();
	ck_assert(!ds.disks.host.failed);
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

/* A server that stops has disks in use, and another one takes them over. */
START_TEST(disk_in_use_is_handed_over_by_a_server_that_stops)
{
	ds_begin_attached();
	disks_stop(&ds.disks, false);
	ck_assert_int_eq(ds.job[1]->verb, DETACH_UNUSED);
	ds_release(1);
	ck_assert(!ds.done);
	ds_finish_job(1, -EBUSY);
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, 0);
	ck_assert_int_eq(ds_disk(1)->state, DISK_RELEASED);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	disk_forget(ds_disk(1));
}
END_TEST

/* Its timer for the next attempt runs when it is handed over. */
START_TEST(disk_that_failed_is_handed_over_and_taken_back)
{
	unlink(ds.devices[2].path);
	test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "is not served; the server tries it again");
	ds_begin();
	for (int i = 0; i < 2; i++)
		ds_attach(i);
	ds_wait(ds_disk(2)->state == DISK_FAILED);
	ds_release(2);
	ck_assert(ds.done);
	ds_make_image(2);
	disk_take_back(ds_disk(2));
	ds_attach(2);
}
END_TEST

START_TEST(disk_of_another_server_waits_for_its_release)
{
	ck_assert_int_eq(disks_add_all(&ds.disks), 0);
	disks_hold(&ds.disks, "one");
	disks_start(&ds.disks);
	ck_assert_int_eq(ds_disk(0)->state, DISK_WAITING);
	ds_wait(ds_disk(1)->state == DISK_CREATED && ds_disk(2)->state == DISK_CREATED);
	ck_assert_ptr_null(ds.job[1]);
	ds_seconds_pass(11);
	ds_wait(ds.job[1]); /* its turn comes though the first waits */
	ds_finish_job(1, 0);
	ds_attach(2);
	disk_released(ds_disk(0));
	ds_attach(0);
	ck_assert(ds.disks.started);
}
END_TEST

/* It ends while it waits for its release: who waits is told. */
START_TEST(disk_that_is_left_ends_its_release)
{
	ds_begin();
	ds_wait(ds.job[0]);
	ds_release(0);
	disks_leave(&ds.disks);
	ck_assert(!ds.done);
	ds_finish_job(0, 0);
	ds_wait(ds.done);
	ck_assert_int_eq(ds.err, 0);
	ck_assert_ptr_null(ds_disk(0));
}
END_TEST

/* A release is called off as a removal is; disks that were not asked for are not taken back. */
START_TEST(release_is_cancelled)
{
	ds_begin_attached();
	disk_take_back(ds_disk(0));
	disk_forget(ds_disk(0));
	ck_assert_int_eq(ds_disk(0)->state, DISK_ATTACHED);
	ds_release(1);
	disk_command_cancel(&ds.command);
	ds_wait(ds.job[1]);
	ck_assert_int_eq(ds.job[1]->verb, ADOPT);
	ds_finish_job(1, 0);
	ck_assert(!ds.done);
}
END_TEST

/*
 * Does the main thread close the store? On FUSE and virtiofs close() waits for the reply of the file server
 * (fuse_flush(), uninterruptible), on NFS for what is dirty.
 */
static pid_t main_thread;
static ino_t watched_store;
static bool main_closed_store;

static void watch_close(int fd)
{
	struct stat st;

	if (watched_store && gettid() == main_thread && !fstat(fd, &st) &&
	    st.st_ino == watched_store)
		main_closed_store = true;
}

START_TEST(main_thread_does_not_close_a_store)
{
	struct stat st;

	ds_begin_attached();
	ck_assert_int_eq(stat(ds.devices[1].path, &st), 0);
	main_thread = gettid();
	watched_store = st.st_ino;
	fake_kern_watch_close = watch_close;
	ds_release(1);
	ds_wait(ds.done);
	watched_store = 0;
	disk_forget(ds_disk(1));
	ck_assert(!main_closed_store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk_release");
	TCase *tc = suite_case(suite, "disk_release", ds_setup, ds_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, disk_is_handed_over_and_the_others_stay, 0, 2);
	tcase_add_loop_test(tc, connection_is_kept_until_the_new_server_serves, 0, 2);
	tcase_add_test(tc, release_that_is_called_off_while_it_is_under_way);
	tcase_add_test(tc, release_that_is_called_off_while_the_server_stops);
	tcase_add_loop_test(tc, stop_while_a_disk_is_taken_back, 0, 2);
	tcase_add_test(tc, disk_in_use_is_handed_over_by_a_server_that_stops);
	tcase_add_test(tc, disk_that_failed_is_handed_over_and_taken_back);
	tcase_add_test(tc, disk_of_another_server_waits_for_its_release);
	tcase_add_test(tc, disk_that_is_left_ends_its_release);
	tcase_add_test(tc, release_is_cancelled);
	tcase_add_test(tc, main_thread_does_not_close_a_store);
	return suite_run(suite);
}
