// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/store/store_users.c: users of an image that hold no lock; orphans.c: a disk in the kernel that
 * consists of the same bytes.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "disk/disk_device.h"
#include "fake_kern.h"
#include "openers.h"
#include "places.h"
#include "store_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

static void setup(void)
{
	fake_kern_reset();
	st_setup();
}

static void teardown(void)
{
	fake_kern_reset();
	st_teardown();
}

/* ---- loop devices ---- */

static const struct {
	bool loop_reads, we_read;
	int err;
	const char *line;
} loops[] = {
	{ false, false, -EBUSY, "which can write to it: losetup --detach /dev/loop" },
	{ false, true, 0, "which can write to it: the data of the disk changes" },
	{ true, false, 0, "which is read-only, and whose data changes" },
	{ true, true, 0, NULL },
};

START_TEST(loop_device_that_writes_is_refused)
{
	int loop = loop_make_mode(st_image, 0, loops[_i].loop_reads);
	struct host_file other;

	if (loop < 0)
		return;
	st_config.readonly = loops[_i].we_read;
	if (loops[_i].line)
		test_log_expect(loops[_i].err ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
				loops[_i].line);
	ck_assert_int_eq(host_file_open(&st_config, 0, &st_store), loops[_i].err);
	if (!loops[_i].err)
		host_file_close(&st_store);
	/* The next server of a disk that was attached before goes on. */
	st_wait_ms = 100;
	st_expect_open(&other);
	host_file_close(&other);
	close(loop);
}
END_TEST

START_TEST(loop_device_is_found_by_another_path)
{
	char *link = temp_path("link"), *sub = temp_path("link/image");
	int loop = loop_make(st_image, 0);

	if (loop < 0)
		return;
	ck_assert_int_eq(symlink(temp_dir, link), 0);
	st_config.path = sub;
	test_log_expect(LOG_LEVEL_ERROR, "which can write to it");
	ck_assert_int_eq(host_file_open(&st_config, 0, &st_store), -EBUSY);
	unlink(link);
	close(loop);
}
END_TEST

START_TEST(loop_device_on_a_loop_device_is_refused)
{
	int lower = st_make_loop(512), upper;
	char name[sizeof(loop_name)];

	if (lower < 0)
		return;
	strcpy(name, loop_name);
	st_config.path = name;
	upper = loop_make(name, 512);
	ck_assert_int_ge(upper, 0);
	test_log_expect(LOG_LEVEL_ERROR, "which can write to it");
	ck_assert_int_eq(host_file_open(&st_config, 0, &st_store), -EBUSY);
	close(upper);
	close(lower);
}
END_TEST

/* ---- programs ---- */

static pid_t start_program(int flags, bool lock)
{
	struct flock far = { .l_type = F_WRLCK, .l_start = 1ll << 40, .l_len = 1 };
	char byte = 0;
	int ready[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		int fd = open(st_image, flags | O_CLOEXEC);

		if (fd < 0 || (lock && fcntl(fd, F_OFD_SETLK, &far)))
			_exit(1);
		if (write(ready[1], &byte, 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static const struct {
	int flags;
	bool lock, warned;
} programs[] = {
	{ O_RDWR, false, true },
	{ O_WRONLY, false, true },
	{ O_RDONLY, false, false },
	{ O_RDWR, true, false }, /* of a part that we do not serve: a server of another slice */
};

START_TEST(program_that_writes_without_a_lock_is_a_warning)
{
	pid_t pid = start_program(programs[_i].flags, programs[_i].lock);
	char line[128];

	snprintf(line, sizeof(line), "(process %d) has %s open for writing too, without a lock",
		 (int)pid, st_image);
	st_config.size = ST_IMAGE_SIZE;
	if (programs[_i].warned)
		test_log_expect(LOG_LEVEL_WARNING, line);
	st_expect_open(&st_store);
	host_file_close(&st_store);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* As the kernel does for a target; what we have open ourselves for the store does not hide it. */
START_TEST(writer_that_cannot_be_seen_is_a_warning)
{
	st_hide(open(st_image, O_RDWR | O_CLOEXEC));
	if (openers_written(st_image) == FILE_WRITTEN)
		test_log_expect(LOG_LEVEL_WARNING,
				"is open for writing elsewhere too, but not in a visible process");
	st_expect_open(&st_store);
	host_file_close(&st_store);
	st_end_hidden();
}
END_TEST

static int task_pipe[2];

/* Has the image open, in a descriptor table of its own and not locked yet, until it is told to go. */
static void *open_like_a_task(void *arg)
{
	int keep[] = { task_pipe[0], *(int *)arg }, fd;
	char byte = 0;

	ck_assert_int_eq(descriptors_isolate(keep, 2), 0);
	fd = open(st_image, O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(*(int *)arg, &byte, 1) != 1 || read(task_pipe[0], &byte, 1) != 1)
		abort();
	close(fd);
	return NULL;
}

START_TEST(other_task_of_this_server_is_no_conflict)
{
	pthread_t thread;
	int ready[2];
	char byte = 0;

	ck_assert_int_eq(pipe2(task_pipe, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, open_like_a_task, &ready[1]), 0);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	st_expect_open(&st_store);
	host_file_close(&st_store);
	ck_assert_int_eq(write(task_pipe[1], &byte, 1), 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < 2; i++) {
		close(task_pipe[i]);
		close(ready[i]);
	}
}
END_TEST

static void count_opener(const struct opener *opener, void *ctx)
{
	*(unsigned int *)ctx += opener->self && opener->writes;
}

START_TEST(scan_that_ends_early_says_so)
{
	int fd = open(st_image, O_RDWR | O_CLOEXEC), other = open(st_image, O_RDWR | O_CLOEXEC);
	struct file_range all = { 0, INT64_MAX };
	unsigned int count = 0;
	struct file_key key;

	ck_assert_int_eq(openers_key(fd, &key), 0);
	ck_assert_int_eq(openers_scan(&key, &all, count_opener, &count), 0);
	ck_assert_uint_eq(count, 1);
	key.more = &other;
	key.more_count = 1;
	ck_assert_int_eq(openers_scan(&key, &all, count_opener, &count), 0);
	ck_assert_uint_eq(count, 1);
	key.scan_max = 1;
	ck_assert_int_eq(openers_scan(&key, &all, count_opener, &count), -E2BIG);
	close(other);
	close(fd);
}
END_TEST

START_TEST(slices_of_one_server_are_no_conflict)
{
	struct host_file other;

	st_config.size = 8192;
	st_expect_open(&st_store);
	st_config.offset = 8192;
	st_expect_open(&other);
	host_file_close(&other);
	host_file_close(&st_store);
}
END_TEST

/* ---- orphans ---- */

static struct device device;

static int try_open(const char *name)
{
	st_config.name = (char *)name;
	device = (struct device){ 0 };
	return device_open_store(&device, &st_config, temp_path("run"));
}

static void open_fine(const char *name)
{
	ck_assert_int_eq(try_open(name), 0);
	device_close_store(&device);
}

/* A server that served st_config as disk @name was killed. */
static struct fake_dev *leave_orphan(const char *name)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;
	struct inflight *log;

	ck_assert_int_eq(try_open(name), 0);
	device_inflight_params(&device, temp_path("run"), identity, &params);
	ck_assert_int_eq(inflight_create(&params, &log), 0);
	inflight_close(log, false);
	device_close_store(&device);
	return fake_kern_orphan(name);
}

static void forget_orphan(const char *name)
{
	unlink(temp_path("run/%s.inflight", name));
}

START_TEST(renamed_section_does_not_serve_an_image_twice)
{
	leave_orphan("data");
	test_log_expect(LOG_LEVEL_ERROR, "dataa: ");
	ck_assert_int_eq(try_open("dataa"), -EBUSY);
	ck_assert_uint_eq(test_log_count("shares bytes with disk data, which a former server "
					 "left in the kernel"),
			  1);
	ck_assert_uint_eq(
		test_log_count("to adopt it, rename the section to [data]; to end its requests: "
			       "vduse-blk rescue data"),
		1);
	fake_kern_reset(); /* it was rescued */
	open_fine("dataa");
	forget_orphan("data");
}
END_TEST

START_TEST(disk_that_is_served_is_not_called_an_orphan)
{
	leave_orphan("data")->open_elsewhere = 10;
	test_log_expect(LOG_LEVEL_ERROR, "shares bytes with disk data, which is served");
	ck_assert_int_eq(try_open("dataa"), -EBUSY);
	forget_orphan("data");
}
END_TEST

static const struct {
	struct st_part first, second;
	int err;
} parts[] = {
	{ { false, 0, 8192 }, { false, 8192, 8192 }, 0 },
	{ { false, 0, 8192 }, { false, 7680, 512 }, -EBUSY },
	{ { true, 0, 0 }, { true, 0, 0 }, 0 },
	{ { true, 0, 0 }, { false, 0, 0 }, -EBUSY },
	{ { false, 0, 0 }, { true, 0, 0 }, -EBUSY },
};

START_TEST(parts_and_readers_of_an_orphans_image_are_free)
{
	st_configure_part(&parts[_i].first);
	leave_orphan("data");
	st_configure_part(&parts[_i].second);
	if (parts[_i].err)
		test_log_expect(LOG_LEVEL_ERROR, "shares bytes with disk data");
	ck_assert_int_eq(try_open("other"), parts[_i].err);
	if (!parts[_i].err)
		device_close_store(&device);
	forget_orphan("data");
}
END_TEST

START_TEST(orphan_whose_store_keeps_no_bytes_has_none_in_common)
{
	st_config.path = (char *)"null:";
	st_config.size = 8192;
	leave_orphan("data");
	open_fine("other");
	st_config.path = (char *)"error:";
	open_fine("other");
	forget_orphan("data");
}
END_TEST

/* Nor is a file that is no log, or not of a disk. */
START_TEST(damaged_log_says_nothing)
{
	leave_orphan("data");
	ck_assert_int_eq(rename(temp_path("run/data.inflight"), temp_path("run/data.inflighz")), 0);
	open_fine("dataa");
	ck_assert_int_eq(rename(temp_path("run/data.inflighz"), temp_path("run/data.inflight")), 0);
	ck_assert_int_eq(truncate(temp_path("run/data.inflight"), 10), 0);
	close(open(temp_path("run/.inflight"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	close(open(temp_path("run/1.control"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	open_fine("dataa");
	forget_orphan("data");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conflict");
	TCase *tc = suite_case(suite, "conflict", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, loop_device_that_writes_is_refused, 0, ARRAY_SIZE(loops));
	tcase_add_test(tc, loop_device_is_found_by_another_path);
	tcase_add_test(tc, loop_device_on_a_loop_device_is_refused);
	tcase_add_loop_test(tc, program_that_writes_without_a_lock_is_a_warning, 0,
			    ARRAY_SIZE(programs));
	tcase_add_test(tc, writer_that_cannot_be_seen_is_a_warning);
#ifndef __SANITIZE_THREAD__ /* descriptors_isolate() does nothing with it */
	tcase_add_test(tc, other_task_of_this_server_is_no_conflict);
#else
	(void)other_task_of_this_server_is_no_conflict;
#endif
	tcase_add_test(tc, scan_that_ends_early_says_so);
	tcase_add_test(tc, slices_of_one_server_are_no_conflict);
	tcase_add_test(tc, renamed_section_does_not_serve_an_image_twice);
	tcase_add_test(tc, disk_that_is_served_is_not_called_an_orphan);
	tcase_add_test(tc, orphan_whose_store_keeps_no_bytes_has_none_in_common);
	tcase_add_loop_test(tc, parts_and_readers_of_an_orphans_image_are_free, 0,
			    ARRAY_SIZE(parts));
	tcase_add_test(tc, damaged_log_says_nothing);
	return suite_run(suite);
}
