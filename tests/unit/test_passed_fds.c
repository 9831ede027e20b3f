// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lib/passed_fds.c: descriptors that go with a message, and none that stay open. Its users wait where too
 * many of them are in flight.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control_socket.h"
#include "fds.h"
#include "passed_fds.h"
#include "suite.h"
#include "vhost_user_transcript.h"

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

/* A user without privileges has too many descriptors in flight, until somebody receives them. */
static void fill_flight(void)
{
	const struct rlimit few = { .rlim_cur = fds_open() + 8, .rlim_max = fds_open() + 8 };
	int fds[PASSED_FDS_MAX];
	const struct iovec iov = { .iov_base = text, .iov_len = 1 };
	ssize_t sent;

	for (unsigned int i = 0; i < PASSED_FDS_MAX; i++)
		fds[i] = ends[1];
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert(geteuid() || !setresuid(65534, 65534, 65534));
	do
		sent = passed_fds_send(ends[0], &iov, 1, fds, PASSED_FDS_MAX, MSG_DONTWAIT);
	while (sent > 0);
	ck_assert_int_eq(sent, -ETOOMANYREFS);
	ck_assert(passed_fds_may_retry(sent));
}

/* They are closed where there is no room for them. */
static void empty_flight(void)
{
	const struct iovec iov = { .iov_base = text, .iov_len = 1 };
	unsigned int count;
	int fd;

	while (passed_fds_receive(ends[1], iov, &fd, 1, &count) > 0)
		for (unsigned int i = 0; i < count; i++)
			close(fd);
}

START_TEST(other_errors_do_not_pass)
{
	ck_assert(passed_fds_may_retry(-ENOBUFS));
	ck_assert(passed_fds_may_retry(-ENOMEM));
	ck_assert(!passed_fds_may_retry(-EPIPE));
	ck_assert(!passed_fds_may_retry(1));
}
END_TEST

START_TEST(takeover_sends_later)
{
	fill_flight();
	ck_assert_int_eq(control_send_packet(ends[0], "x", &ends[0], 1), -EAGAIN);
	empty_flight();
	ck_assert_int_eq(control_send_packet(ends[0], "x", &ends[0], 1), 0);
	empty_flight();
}
END_TEST

static int stream[2];
static int sent_transcript;

static void *send_transcript(void *arg)
{
	sent_transcript = vhost_user_transcript_send(arg, stream[0]);
	return NULL;
}

START_TEST(transcript_waits)
{
	struct vhost_user_transcript transcript;
	pthread_t thread;
	int fd;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	vhost_user_transcript_init(&transcript);
	ck_assert_int_eq(vhost_user_transcript_add(&transcript, 1, NULL, 0, dup(stream[0])), 0);
	fill_flight();
	ck_assert_int_eq(pthread_create(&thread, NULL, send_transcript, &transcript), 0);
	usleep(50000); /* in most runs it has begun to send by then */
	empty_flight();
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(sent_transcript, 0);
	ck_assert_uint_eq(vhost_user_transcript_fds(&transcript, &fd), 1);
	vhost_user_transcript_exit(&transcript);
	close(fd);
	close(stream[0]);
	close(stream[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passed_fds");
	TCase *tc = suite_case(s, "passed_fds", setup, teardown);

	tcase_add_loop_test(tc, as_many_as_there_is_room_for, 0, 5);
	tcase_add_test(tc, nothing_to_receive);
	tcase_add_test(tc, other_errors_do_not_pass);
	tcase_add_test(tc, takeover_sends_later);
	tcase_add_test(tc, transcript_waits);
	return suite_run(s);
}
