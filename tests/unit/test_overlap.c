// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/overlap.c: the same bytes by two paths. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlap.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define IMAGE_SIZE 65536

static struct device_config devices[2];
static const struct config config = { .devices = devices, .device_count = 2 };

static void setup(void)
{
	char *image = temp_path("image");
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	test_log_begin();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, IMAGE_SIZE), 0);
	close(fd);
	devices[0] = (struct device_config){ .name = (char *)"a", .path = image };
	devices[1] = (struct device_config){ .name = (char *)"b" };
}

static void expect_refusal(void)
{
	test_log_expect(LOG_LEVEL_ERROR, "has the same bytes as [a] serves from");
	ck_assert_int_eq(overlap_check(&config), -EBUSY);
	ck_assert_uint_eq(test_log_count("b: "), 1);
}

static void make_links(void)
{
	unlink(temp_path("hard"));
	unlink(temp_path("soft"));
	ck_assert_int_eq(link(devices[0].path, temp_path("hard")), 0);
	ck_assert_int_eq(symlink("image", temp_path("soft")), 0);
}

START_TEST(one_file_by_two_paths_is_refused)
{
	char *const others[] = { temp_path("./image"), temp_path("hard"), temp_path("soft") };

	make_links();
	devices[1].path = others[_i];
	expect_refusal();
}
END_TEST

START_TEST(readers_and_slices_side_by_side_are_fine)
{
	devices[1].path = temp_path("./image");
	devices[0].readonly = devices[1].readonly = true;
	ck_assert_int_eq(overlap_check(&config), 0);
	devices[1].readonly = false;
	devices[0].size = devices[1].offset = 8192;
	ck_assert_int_eq(overlap_check(&config), 0);
	devices[1].offset -= 512;
	expect_refusal();
}
END_TEST

START_TEST(two_files_are_fine)
{
	int fd = open(temp_path("other"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, IMAGE_SIZE), 0);
	close(fd);
	devices[1].path = temp_path("other");
	ck_assert_int_eq(overlap_check(&config), 0);
}
END_TEST

/* What is wrong with those is said when they are opened. */
START_TEST(what_cannot_be_served_is_passed_over)
{
	char *const others[] = { temp_path("missing"), temp_dir, (char *)"/dev/null" };

	devices[0].path = devices[1].path = others[_i];
	ck_assert_int_eq(overlap_check(&config), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overlap");
	TCase *tc = suite_case(suite, "overlap", setup, test_log_end);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, one_file_by_two_paths_is_refused, 0, 3);
	tcase_add_test(tc, readers_and_slices_side_by_side_are_fine);
	tcase_add_test(tc, two_files_are_fine);
	tcase_add_loop_test(tc, what_cannot_be_served_is_passed_over, 0, 3);
	return suite_run(suite);
}
