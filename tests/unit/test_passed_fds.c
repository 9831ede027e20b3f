// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/passed_fds.c: descriptors that go with a message, and none that stay open. */
#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "passed_fds.h"
#include "suite.h"

static int ends[2];
static unsigned int before;
static char text[8];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	before = fds_open();
}

static void teardown(void)
{
	ck_assert_uint_eq(fds_open(), before);
	close(ends[0]);
	close(ends[1]);
}

static void send_fds(unsigned int count)
{
	const struct iovec parts[] = { { (void *)"ab", 2 }, { (void *)"c", 1 } };
	int fds[PASSED_FDS_MAX];

	for (unsigned int i = 0; i < count; i++)
		fds[i] = ends[1];
	ck_assert_int_eq(passed_fds_send(ends[0], parts, 2, fds, count, 0), 3);
}

/* Return: how many were received; at most @max */
static unsigned int receive(unsigned int max)
{
	const struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	int fds[PASSED_FDS_MAX + 1] = { [PASSED_FDS_MAX] = -7 };
	unsigned int count;

	fds[max] = -7;
	ck_assert_int_eq(passed_fds_receive(ends[1], iov, fds, max, &count), 3);
	ck_assert_mem_eq(text, "abc", 3);
	ck_assert_int_eq(fds[max], -7);
	ck_assert_uint_eq(fds_open(), before + count);
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
	return count;
}

START_TEST(as_many_as_there_is_room_for)
{
	static const unsigned int counts[] = { 0, 1, 2, 3, PASSED_FDS_MAX };

	for (unsigned int max = 1; max <= PASSED_FDS_MAX; max++) {
		send_fds(counts[_i]);
		ck_assert_uint_eq(receive(max), MIN(counts[_i], max));
	}
}
END_TEST

START_TEST(nothing_to_receive)
{
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	unsigned int count = 1;
	int fd;

	ck_assert_int_eq(passed_fds_receive(ends[1], iov, &fd, 1, &count), -EAGAIN);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(shutdown(ends[0], SHUT_RDWR), 0);
	ck_assert_int_eq(passed_fds_receive(ends[1], iov, &fd, 1, &count), 0);
	ck_assert_int_eq(passed_fds_send(ends[0], &iov, 1, NULL, 0, 0), -EPIPE); /* and no signal */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passed_fds");
	TCase *tc = suite_case(s, "passed_fds", setup, teardown);

	tcase_add_loop_test(tc, as_many_as_there_is_room_for, 0, 5);
	tcase_add_test(tc, nothing_to_receive);
	return suite_run(s);
}
