// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/disk/node_users.c, as far as it goes without root: character devices, made of terminals. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/node_users.h"
#include "suite.h"
#include "test_log.h"

#define CHILDREN_MAX 8

/* A terminal of our own: its far end is a device node that nobody else has open. */
static int terminal_fd = -1;
static char node[64];
static pid_t children[CHILDREN_MAX];
static unsigned int child_count;

static void setup(void)
{
	terminal_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(terminal_fd, 0);
	ck_assert_int_eq(grantpt(terminal_fd), 0);
	ck_assert_int_eq(unlockpt(terminal_fd), 0);
	ck_assert_int_eq(ptsname_r(terminal_fd, node, sizeof(node)), 0);
	child_count = 0;
	test_log_begin();
}

static void teardown(void)
{
	while (child_count) {
		kill(children[--child_count], SIGKILL);
		waitpid(children[child_count], NULL, 0);
	}
	close(terminal_fd);
	test_log_end();
}

static void child_main(const char *comm, int fds, int ready_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, comm);
	while (fds--)
		if (open(node, O_RDWR | O_NOCTTY) < 0)
			_exit(1);
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Starts a process that has the node open @fds times. */
static pid_t start_child(const char *comm, int fds)
{
	int ready[2];
	pid_t pid;
	char byte;

	ck_assert_uint_lt(child_count, CHILDREN_MAX);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_main(comm, fds, ready[1]);
	children[child_count++] = pid;
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

START_TEST(nobody_gives_zero_and_an_empty_text)
{
	char text[64] = "before";

	start_child("elsewhere", 0);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(opener_is_found_with_name_and_pid)
{
	char text[128], want[128];
	pid_t pid = start_child("holds it", 1);

	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 1);
	snprintf(want, sizeof(want), "opened by holds it (pid %d)", pid);
	ck_assert_str_eq(text, want);
}
END_TEST

START_TEST(process_counts_once_however_often_it_opened)
{
	char text[128];

	start_child("holder", 3);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 1);
}
END_TEST

START_TEST(opener_that_is_gone_is_not_found)
{
	char text[128];

	start_child("holder", 1);
	kill(children[0], SIGKILL);
	waitpid(children[--child_count], NULL, 0);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 0);
}
END_TEST

START_TEST(our_own_descriptors_do_not_count)
{
	int fd = open(node, O_RDWR | O_NOCTTY | O_CLOEXEC);
	char text[128];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 0);
	close(fd);
}
END_TEST

START_TEST(link_to_the_node_is_the_node)
{
	char path[64], text[128];
	int found;

	snprintf(path, sizeof(path), "/tmp/test_node_users.%d", getpid());
	start_child("holder", 1);
	ck_assert_int_eq(symlink(node, path), 0);
	found = node_users_find(path, text, sizeof(text));
	unlink(path);
	ck_assert_int_eq(found, 1);
}
END_TEST

START_TEST(only_the_first_four_are_named)
{
	const char *at;
	char text[512];
	int n, named = 0;

	for (n = 0; n < 6; n++)
		start_child("one of six", 1);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 6);
	for (at = text; (at = strstr(at, "one of six")); at++)
		named++;
	ck_assert_int_eq(named, 4);
	ck_assert_ptr_nonnull(strstr(text, "); and 2 more"));
}
END_TEST

START_TEST(control_characters_of_a_name_stay_out)
{
	char text[128];

	start_child("a\x1b[31m\tb", 1);
	ck_assert_int_eq(node_users_find(node, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "a?[31m?b"));
}
END_TEST

/* However small: cut, ended, and nothing behind it touched. */
START_TEST(text_is_cut_to_size)
{
	char whole[512], text[513];
	size_t size = (size_t)_i;
	int n;

	for (n = 0; n < 6; n++)
		start_child("one of six", 1);
	ck_assert_int_eq(node_users_find(node, whole, sizeof(whole)), 6);
	memset(text, '#', sizeof(text));
	ck_assert_int_eq(node_users_find(node, text, size), 6);
	if (size) {
		ck_assert_uint_eq(strlen(text), MIN(size - 1, strlen(whole)));
		ck_assert_int_eq(memcmp(text, whole, strlen(text)), 0);
	}
	ck_assert_int_eq(text[size], '#');
}
END_TEST

START_TEST(missing_node_is_an_error)
{
	char text[64] = "before";

	test_log_expect(LOG_LEVEL_ERROR, "/dev/no-such-node");
	ck_assert_int_eq(node_users_find("/dev/no-such-node", text, sizeof(text)), -ENOENT);
	ck_assert_str_eq(text, "before");
}
END_TEST

START_TEST(file_that_is_no_device_is_an_error)
{
	char text[64] = "before";

	test_log_expect(LOG_LEVEL_ERROR, "/proc/self/status");
	ck_assert_int_eq(node_users_find("/proc/self/status", text, sizeof(text)), -ENODEV);
	ck_assert_str_eq(text, "before");
}
END_TEST

int main(void)
{
	static const int sizes[] = { 0, 1, 2, 8, 40, 100, 512 };
	Suite *suite = suite_create("holders");
	TCase *tc = suite_case(suite, "holders", setup, teardown);
	size_t n;

	tcase_add_test(tc, nobody_gives_zero_and_an_empty_text);
	tcase_add_test(tc, opener_is_found_with_name_and_pid);
	tcase_add_test(tc, process_counts_once_however_often_it_opened);
	tcase_add_test(tc, opener_that_is_gone_is_not_found);
	tcase_add_test(tc, our_own_descriptors_do_not_count);
	tcase_add_test(tc, link_to_the_node_is_the_node);
	tcase_add_test(tc, only_the_first_four_are_named);
	tcase_add_test(tc, control_characters_of_a_name_stay_out);
	for (n = 0; n < ARRAY_SIZE(sizes); n++)
		tcase_add_loop_test(tc, text_is_cut_to_size, sizes[n], sizes[n] + 1);
	tcase_add_test(tc, missing_node_is_an_error);
	tcase_add_test(tc, file_that_is_no_device_is_an_error);
	return suite_run(suite);
}
