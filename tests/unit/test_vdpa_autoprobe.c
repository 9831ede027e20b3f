// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vdpa_autoprobe.c: the wait for the lock has an end, and autoprobe does not stay off. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_bus.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"
#include "threads.h"
#include "vdpa_autoprobe.h"
#include "vdpa_paths.h"

static const char *the_switch(void)
{
	return fake_bus_path("sys/bus/vdpa/drivers_autoprobe");
}

static const char *the_lock(void)
{
	return fake_bus_path("sys/bus/vdpa/drivers_probe");
}

static const char *the_mark(void)
{
	return fake_bus_path("run/vduse-blk.autoprobe");
}

static bool is_on(void)
{
	return fake_bus_is(the_switch(), "1");
}

static bool is_marked(void)
{
	return access(the_mark(), F_OK) == 0;
}

static void left_off(void)
{
	fake_bus_write(the_switch(), "0");
	fake_bus_write(the_mark(), "");
}

static void setup(void)
{
	test_log_begin();
	temp_dir_make();
	fake_bus_make();
	ck_assert_int_eq(chmod(the_lock(), 0200), 0);
}

static void teardown(void)
{
	fake_bus_drop();
	temp_dir_remove();
	test_log_end();
}

/* As another process would. Return: a descriptor; -1: somebody has a lock */
static int lock_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	ck_assert_int_eq(errno, EWOULDBLOCK);
	close(fd);
	return -1;
}

static bool is_locked(void)
{
	int fd = lock_file(the_lock(), O_WRONLY);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/* ---- off, and on again ---- */

START_TEST(it_is_off_locked_and_marked_until_it_is_restored)
{
	struct vdpa_autoprobe probe;
	struct stat st;

	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	ck_assert(fake_bus_is(the_switch(), "0"));
	ck_assert(is_locked());
	ck_assert_int_eq(stat(the_mark(), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert(is_on());
	ck_assert(!is_locked());
	ck_assert(!is_marked());
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 2);
}
END_TEST

static void mark_is_first(enum fake_bus_call call, const char *text)
{
	(void)call;
	(void)text;
	ck_assert(is_marked());
}

/* Killed between any two of its steps, it has left the mark where it has left autoprobe off. */
START_TEST(mark_is_there_before_it_is_off_and_until_it_is_on)
{
	struct vdpa_autoprobe probe;

	fake_bus.on_call = mark_is_first;
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 2);
}
END_TEST

START_TEST(administrators_choice_is_kept)
{
	struct vdpa_autoprobe probe;

	fake_bus_write(the_switch(), "0");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	ck_assert(!is_marked());
	ck_assert(is_locked());
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert(fake_bus_is(the_switch(), "0"));
	ck_assert(!is_locked());
	vdpa_autoprobe_repair("disk0");
	ck_assert(fake_bus_is(the_switch(), "0"));
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 0);
}
END_TEST

/* ---- after a server that was killed ---- */

START_TEST(next_attach_switches_on_what_a_killed_server_left_off)
{
	struct vdpa_autoprobe probe;

	left_off();
	test_log_allow(LOG_LEVEL_INFO, "disk0: a server that was killed");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	ck_assert(fake_bus_is(the_switch(), "0"));
	ck_assert(is_marked());
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert(is_on());
	ck_assert(!is_marked());
	ck_assert_uint_eq(test_log_count("disk0: a server that was killed"), 1);
}
END_TEST

START_TEST(next_adoption_switches_on_what_a_killed_server_left_off)
{
	left_off();
	vdpa_autoprobe_repair("disk0");
	ck_assert(is_on());
	ck_assert(!is_marked());
	ck_assert(!is_locked());
	ck_assert_uint_eq(test_log_count("disk0: a server that was killed"), 1);
}
END_TEST

/* It was killed after it had switched autoprobe on, or somebody else has done that. */
START_TEST(mark_without_need_is_removed)
{
	struct vdpa_autoprobe probe;

	fake_bus_write(the_mark(), "");
	if (_i) {
		vdpa_autoprobe_repair("disk0");
	} else {
		ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
		vdpa_autoprobe_restore(&probe, "disk0");
	}
	ck_assert(is_on());
	ck_assert(!is_marked());
	ck_assert_uint_eq(test_log_count("killed"), 0);
}
END_TEST

START_TEST(nothing_to_repair_takes_no_lock)
{
	int fd = lock_file(the_lock(), O_WRONLY);

	vdpa_paths.lock_wait_ms = 3600 * 1000;
	vdpa_autoprobe_repair("disk0");
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 0);
	close(fd);
}
END_TEST

/* The mark is that of a server which has the lock, and lives. */
START_TEST(server_that_has_the_lock_is_not_disturbed)
{
	int fd = lock_file(the_lock(), O_WRONLY);

	vdpa_paths.lock_wait_ms = 5;
	left_off();
	vdpa_autoprobe_repair("disk0");
	ck_assert(fake_bus_is(the_switch(), "0"));
	ck_assert(is_marked());
	close(fd);
	vdpa_autoprobe_repair("disk0"); /* and no turn is kept from others */
	ck_assert(is_on());
}
END_TEST

/* ---- locks ---- */

/* Any user may open this file, and lock it. */
START_TEST(lock_that_any_user_can_take_holds_up_nobody)
{
	struct vdpa_autoprobe probe;
	int fd;

	vdpa_paths.lock_wait_ms = 5;
	fd = lock_file(the_switch(), O_RDONLY);
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
	close(fd);
}
END_TEST

START_TEST(lock_that_is_kept_is_an_error_with_its_name)
{
	struct vdpa_autoprobe probe;
	int fd = lock_file(the_lock(), O_WRONLY);

	vdpa_paths.lock_wait_ms = 5;
	test_log_expect(LOG_LEVEL_ERROR,
			"bus/vdpa/drivers_probe: another process has kept the lock");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), -ETIMEDOUT);
	ck_assert(is_on());
	ck_assert(!is_marked());
	close(fd);
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
}
END_TEST

static pthread_t start_thread(void *(*function)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, function, arg), 0);
	return thread;
}

static int lock_to_close;

static void unlock_at_third_sleep(void)
{
	if (test_clock.sleeps == 3)
		close(lock_to_close);
}

START_TEST(lock_that_is_given_back_is_waited_for)
{
	struct vdpa_autoprobe probe;

	lock_to_close = lock_file(the_lock(), O_WRONLY);
	vdpa_paths.lock_wait_ms = 3600 * 1000;
	test_clock_stop();
	test_clock.slept = unlock_at_third_sleep;
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert_uint_eq(test_clock.sleeps, 3);
}
END_TEST

static bool second_ended;

static void *second_thread(void *arg)
{
	struct vdpa_autoprobe probe;
	int *err = arg;

	*err = vdpa_autoprobe_stop(&probe, "disk1");
	if (!*err)
		vdpa_autoprobe_restore(&probe, "disk1");
	__atomic_store_n(&second_ended, true, __ATOMIC_RELEASE);
	return NULL;
}

/* As long as netlink takes: the limit is for other processes. */
START_TEST(threads_of_one_process_wait_for_each_other_without_a_limit)
{
	struct vdpa_autoprobe probe;
	pthread_t thread;
	int err = 1;

	vdpa_paths.lock_wait_ms = 0;
	second_ended = false;
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	thread = start_thread(second_thread, &err);
	for (int i = 0; i < 2000 && !load_acquire(&second_ended); i++)
		other_threads_run(); /* it would fail meanwhile, were there a limit */
	vdpa_autoprobe_restore(&probe, "disk0");
	pthread_join(thread, NULL);
	ck_assert_int_eq(err, 0);
	ck_assert(is_on());
}
END_TEST

/* ---- what fails ---- */

START_TEST(bus_without_its_files_is_an_error)
{
	struct vdpa_autoprobe probe;

	unlink(_i ? the_lock() : the_switch());
	test_log_expect(LOG_LEVEL_ERROR,
			_i ? "bus/vdpa/drivers_probe: No such file"
			   : "disk0: cannot switch off autoprobe of the vdpa bus: No such file");
	for (int i = 0; i < 2; i++) { /* the first one keeps nobody's turn */
		ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), -ENOENT);
		test_log_allow(LOG_LEVEL_ERROR, "No such file");
	}
	ck_assert(_i || !is_locked());
	ck_assert_uint_eq(fake_bus.calls[FAKE_BUS_AUTOPROBE], 0);
}
END_TEST

START_TEST(switch_that_cannot_be_read_is_an_error)
{
	struct vdpa_autoprobe probe;

	unlink(the_switch());
	ck_assert_int_eq(mkdir(the_switch(), 0755), 0);
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: cannot switch off autoprobe of the vdpa bus: Is a");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), -EISDIR);
	ck_assert(!is_locked());
}
END_TEST

START_TEST(switch_that_cannot_be_switched_off_leaves_no_mark_and_no_lock)
{
	struct vdpa_autoprobe probe;

	fake_bus_fail(FAKE_BUS_AUTOPROBE, 1, -EIO);
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: cannot switch off autoprobe of the vdpa bus: Input");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), -EIO);
	ck_assert(!is_marked());
	ck_assert(!is_locked());
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
}
END_TEST

START_TEST(switch_that_cannot_be_switched_on_keeps_its_mark)
{
	struct vdpa_autoprobe probe;

	fake_bus_fail(FAKE_BUS_AUTOPROBE, 2, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "drivers_autoprobe on again: Input");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert(!is_on());
	ck_assert(is_marked());
	ck_assert(!is_locked());
	vdpa_autoprobe_repair("disk0");
	ck_assert(is_on());
}
END_TEST

START_TEST(mark_that_cannot_be_made_is_a_warning)
{
	struct vdpa_autoprobe probe;

	rmdir(fake_bus_path("run"));
	test_log_expect(LOG_LEVEL_WARNING, "run/vduse-blk.autoprobe: No such file");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	vdpa_autoprobe_restore(&probe, "disk0");
	ck_assert(is_on());
}
END_TEST

/* Whoever may write there could have us create, or cut, any file. */
START_TEST(mark_follows_no_link)
{
	struct vdpa_autoprobe probe;

	ck_assert_int_eq(symlink(fake_bus_path("victim"), the_mark()), 0);
	test_log_expect(LOG_LEVEL_WARNING, "cannot create");
	ck_assert_int_eq(vdpa_autoprobe_stop(&probe, "disk0"), 0);
	ck_assert_int_eq(access(fake_bus_path("victim"), F_OK), -1);
	vdpa_autoprobe_restore(&probe, "disk0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vdpa_autoprobe");
	TCase *tc = suite_case(suite, "autoprobe", setup, teardown);

	tcase_add_test(tc, it_is_off_locked_and_marked_until_it_is_restored);
	tcase_add_test(tc, mark_is_there_before_it_is_off_and_until_it_is_on);
	tcase_add_test(tc, administrators_choice_is_kept);
	tcase_add_test(tc, next_attach_switches_on_what_a_killed_server_left_off);
	tcase_add_test(tc, next_adoption_switches_on_what_a_killed_server_left_off);
	tcase_add_loop_test(tc, mark_without_need_is_removed, 0, 2);
	tcase_add_test(tc, nothing_to_repair_takes_no_lock);
	tcase_add_test(tc, server_that_has_the_lock_is_not_disturbed);
	tcase_add_test(tc, lock_that_any_user_can_take_holds_up_nobody);
	tcase_add_test(tc, lock_that_is_kept_is_an_error_with_its_name);
	tcase_add_test(tc, lock_that_is_given_back_is_waited_for);
	tcase_add_test(tc, threads_of_one_process_wait_for_each_other_without_a_limit);
	tcase_add_loop_test(tc, bus_without_its_files_is_an_error, 0, 2);
	tcase_add_test(tc, switch_that_cannot_be_read_is_an_error);
	tcase_add_test(tc, switch_that_cannot_be_switched_off_leaves_no_mark_and_no_lock);
	tcase_add_test(tc, switch_that_cannot_be_switched_on_keeps_its_mark);
	tcase_add_test(tc, mark_that_cannot_be_made_is_a_warning);
	tcase_add_test(tc, mark_follows_no_link);
	return suite_run(suite);
}
