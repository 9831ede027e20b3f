// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/disk/backing_conflict.c: the same bytes by two paths. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk/backing_conflict.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define IMAGE_SIZE 65536

static struct device_config devices[3];
static struct config config = { .devices = devices, .device_count = 2 };

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
	test_log_expect(LOG_LEVEL_ERROR, "shares bytes with disk a (");
	ck_assert_int_eq(backing_conflict_check(&config), -EBUSY);
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
	ck_assert_int_eq(backing_conflict_check(&config), 0);
	devices[1].readonly = false;
	devices[0].size = devices[1].offset = 8192;
	ck_assert_int_eq(backing_conflict_check(&config), 0);
	devices[1].offset -= 512;
	expect_refusal();
}
END_TEST

static char *other_image(void)
{
	char *path = temp_path("other");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, IMAGE_SIZE), 0);
	close(fd);
	return path;
}

START_TEST(two_files_are_fine)
{
	devices[1].path = other_image();
	ck_assert_int_eq(backing_conflict_check(&config), 0);
}
END_TEST

START_TEST(each_device_is_compared_with_all_others)
{
	int same = _i;

	config.device_count = 3;
	devices[1].path = other_image();
	devices[2] = (struct device_config){ .name = (char *)"c", .path = devices[same].path };
	test_log_expect(LOG_LEVEL_ERROR,
			same ? "shares bytes with disk b (" : "shares bytes with disk a (");
	ck_assert_int_eq(backing_conflict_check(&config), -EBUSY);
	ck_assert_uint_eq(test_log_count("c: "), 1);
}
END_TEST

static void make_node(char *path, unsigned int minor)
{
	unlink(path);
	if (mknod(path, S_IFBLK | 0600, makedev(7, minor)))
		ck_assert_int_eq(errno, EPERM);
}

/* Only root can make nodes, and not in every container. */
START_TEST(nodes_of_one_block_device_are_refused)
{
	bool same = _i;

	devices[0].path = temp_path("node");
	devices[1].path = temp_path("other-node");
	make_node(devices[0].path, 1);
	make_node(devices[1].path, same ? 1 : 2);
	if (access(devices[1].path, F_OK))
		return;
	if (same)
		expect_refusal();
	else
		ck_assert_int_eq(backing_conflict_check(&config), 0);
}
END_TEST

/* What is wrong with those is said when they are opened. */
START_TEST(what_cannot_be_served_is_passed_over)
{
	char *const others[] = { temp_path("missing"), temp_dir, (char *)"/dev/null" };

	devices[0].path = devices[1].path = others[_i];
	ck_assert_int_eq(backing_conflict_check(&config), 0);
}
END_TEST

START_TEST(file_with_faults_is_the_same_file)
{
	char path[512];

	snprintf(path, sizeof(path), "fault:fail_read=1:%s", devices[0].path);
	devices[1].path = path;
	expect_refusal();
}
END_TEST

START_TEST(stores_without_bytes_are_fine)
{
	devices[0].path = devices[1].path = (char *)"null:";
	ck_assert_int_eq(backing_conflict_check(&config), 0);
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
	tcase_add_loop_test(tc, each_device_is_compared_with_all_others, 0, 2);
	tcase_add_loop_test(tc, nodes_of_one_block_device_are_refused, 0, 2);
	tcase_add_loop_test(tc, what_cannot_be_served_is_passed_over, 0, 3);
	tcase_add_test(tc, file_with_faults_is_the_same_file);
	tcase_add_test(tc, stores_without_bytes_are_fine);
	return suite_run(suite);
}
