// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/takeover/examine.c: every disk is examined; one that takes too long reports later. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "takeover/examine.h"
#include "fake_kern.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define DISKS 3

static struct ring ring;
static struct device_config devices[DISKS];
static struct config config = { .devices = devices, .device_count = DISKS };
static struct examine examine;
static unsigned int late[DISKS];
static int late_result[DISKS];

static const char *const names[DISKS] = { "a", "b", "c" };

static void is_late(struct examine *all, const char *name, int result)
{
	size_t disk = (size_t)(name[0] - 'a');

	ck_assert_ptr_eq(all, &examine);
	late[disk]++;
	late_result[disk] = result;
}

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
	temp_dir_make();
	config.runtime_dir = temp_dir;
	for (size_t i = 0; i < DISKS; i++) {
		char *path = temp_path("%s.img", names[i]);
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
		close(fd);
		devices[i] = (struct device_config){ .name = (char *)names[i], .path = path };
		late[i] = 0;
		late_result[i] = 0;
	}
	examine = (struct examine){ .late = is_late };
	ck_assert_int_eq(ring_init(&ring, 16), 0);
}

static void teardown(void)
{
	examine_exit(&examine);
	ring_exit(&ring);
	temp_dir_remove();
	test_log_end();
}

START_TEST(good_disks_are_examined)
{
	ck_assert_int_eq(examine_all(&examine, &config, &ring), 0);
	for (size_t i = 0; i < DISKS; i++)
		ck_assert(!examine_pending(&examine, names[i]) && !late[i]);
}
END_TEST

START_TEST(bad_disk_is_an_error)
{
	ck_assert_int_eq(unlink(devices[1].path), 0);
	test_log_expect(LOG_LEVEL_ERROR, "b: cannot open");
	ck_assert_int_eq(examine_all(&examine, &config, &ring), -ENOENT);
	for (size_t i = 0; i < DISKS; i++)
		ck_assert(!examine_pending(&examine, names[i]) && !late[i]);
}
END_TEST

/* With no patience at all, it may be any of them that is late. */
START_TEST(late_disk_reports_when_it_has_ended)
{
	bool pending[DISKS];

	examine.wait_us = 1;
	ck_assert_int_eq(unlink(devices[1].path), 0);
	test_log_expect(LOG_LEVEL_ERROR, "b: cannot open");
	test_log_allow(LOG_LEVEL_WARNING, "its store does not respond");
	if (examine_all(&examine, &config, &ring))
		ck_assert(!examine_pending(&examine, "b"));
	for (size_t i = 0; i < DISKS; i++)
		pending[i] = examine_pending(&examine, names[i]);
	while (examine.pending)
		ck_assert_int_eq(ring_run(&ring, true), 0);
	for (size_t i = 0; i < DISKS; i++) {
		ck_assert_uint_eq(late[i], pending[i]);
		ck_assert_int_eq(late_result[i], pending[i] && i == 1 ? -ENOENT : 0);
		ck_assert(!examine_pending(&examine, names[i]));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("examine");
	TCase *tc = suite_case(suite, "examine", setup, teardown);

	tcase_add_test(tc, good_disks_are_examined);
	tcase_add_test(tc, bad_disk_is_an_error);
	tcase_add_test(tc, late_disk_reports_when_it_has_ended);
	return suite_run(suite);
}
