// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/control/control.c: clients that send no request, and sessions. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_bench.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

static const char *socket_path;

static bool answer(struct control *control, const char *question, FILE *to)
{
	(void)control;
	fputs(question, to);
	return true;
}

static void count_answer(const struct control_answer *answered, void *ctx)
{
	unsigned int *count = ctx;

	ck_assert(!answered->error);
	++*count;
}

static unsigned int ask(void)
{
	unsigned int count = 0;

	ck_assert_int_ge(control_ask(temp_dir, "how?", count_answer, &count), 0);
	return count;
}

/* Return: a connected client that blocks */
static int connect_client(void)
{
	struct pollfd unused = { 0 };
	int fd;

	while ((fd = control_connect(socket_path)) == -EAGAIN)
		poll(&unused, 0, 1); /* the server has not accepted the others yet */
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Waits until the server has closed the connection. */
static bool is_disconnected(int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLIN };
	char byte;

	ck_assert_int_eq(poll(&end, 1, -1), 1);
	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Of a server that disconnects idle clients soon, perhaps before they have asked. */
static void restart_impatient(void)
{
	test_log_allow(LOG_LEVEL_ERROR, "does not respond");
	control_bench_end();
	control_bench.idle_ms = 20;
	socket_path = control_bench_start(temp_dir, answer);
}

static void setup(void)
{
	test_log_begin();
	socket_path = control_bench_start(temp_dir, answer);
}

static void teardown(void)
{
	control_bench_end();
	ck_assert_uint_eq(ask(), 0);
	test_log_end();
}

START_TEST(idle_client_does_not_delay_the_end)
{
	int idle = connect_client();

	ck_assert_uint_eq(ask(), 1); /* so the server has accepted it */
	control_bench_end();
	ck_assert(is_disconnected(idle));
	close(idle);
	socket_path = control_bench_start(temp_dir, answer);
}
END_TEST

START_TEST(oldest_idle_client_makes_room)
{
	int fds[3 * CONTROL_CLIENTS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_client();
	ck_assert_uint_eq(ask(), 1); /* while all of them are there */
	for (size_t i = 0; i < ARRAY_SIZE(fds) - CONTROL_CLIENTS_MAX; i++)
		ck_assert(is_disconnected(fds[i]));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	ck_assert_uint_eq(ask(), 1);
}
END_TEST

/* Each has asked before the next connects, and none reads its answer before the last has asked. */
START_TEST(client_that_asked_is_answered_however_many_there_are)
{
	int fds[3 * CONTROL_CLIENTS_MAX];
	struct pollfd come;
	bool error;
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_client();
		ck_assert_int_eq(send(fds[i], "what?", 5, 0), 5);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		come = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		ck_assert_int_eq(poll(&come, 1, -1), 1);
		text = control_receive(fds[i], &error);
		ck_assert_ptr_nonnull(text);
		ck_assert_str_eq(text, "what?");
		free(text);
		close(fds[i]);
	}
}
END_TEST

START_TEST(client_that_asks_nothing_is_disconnected)
{
	int idle;

	restart_impatient();
	idle = connect_client();
	ck_assert(is_disconnected(idle));
	close(idle);
}
END_TEST

/* What the server's thread saw of its session; read when that has ended. */
static struct {
	struct control_session session;
	unsigned int said, gone;
	pid_t pid;
} seen;

static void said(struct control_session *session, const char *text)
{
	seen.said++;
	if (!strcmp(text, "end"))
		control_session_end(session);
	else
		ck_assert_int_eq(control_session_say(session, text), 0);
}

static void gone(struct control_session *session)
{
	ck_assert_ptr_eq(session, &seen.session);
	seen.gone++;
	ck_assert_int_eq(control_session_say(session, "hello?"), -ENOTCONN);
}

static bool begin(struct control *control, struct control_client *client, const char *question,
		  FILE *to, bool *ok)
{
	(void)control;
	*ok = true;
	if (strcmp(question, "stay"))
		return false;
	seen.session.said = said;
	seen.session.gone = gone;
	control_session(client, &seen.session);
	seen.pid = seen.session.peer.pid;
	fputs("welcome", to);
	return true;
}

static void expect_packet(int fd, const char *text)
{
	struct pollfd come = { .fd = fd, .events = POLLIN };
	char packet[32] = "";

	ck_assert_int_eq(poll(&come, 1, -1), 1);
	ck_assert_int_ge(recv(fd, packet, sizeof(packet) - 1, 0), 0);
	ck_assert_str_eq(packet, text);
}

static int begin_session(void)
{
	struct pollfd come;
	bool error = true;
	char *text;
	int fd;

	memset(&seen, 0, sizeof(seen));
	control_bench_end();
	control_bench.begin = begin;
	socket_path = control_bench_start(temp_dir, answer);
	fd = connect_client();
	ck_assert_int_eq(send(fd, "stay", 4, 0), 4);
	come = (struct pollfd){ .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&come, 1, -1), 1);
	text = control_receive(fd, &error);
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, "welcome");
	ck_assert(!error);
	free(text);
	return fd;
}

START_TEST(session_lasts_until_the_client_leaves)
{
	int fd = begin_session();

	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(send(fd, "one", 3, 0), 3);
		ck_assert_int_eq(send(fd, "two", 3, 0), 3);
		expect_packet(fd, "one");
		expect_packet(fd, "two");
	}
	ck_assert_uint_eq(ask(), 1); /* others are answered meanwhile */
	close(fd);
	control_bench_end();
	ck_assert_uint_eq(seen.said, 200);
	ck_assert_uint_eq(seen.gone, 1);
	ck_assert_int_eq(seen.pid, getpid());
	socket_path = control_bench_start(temp_dir, answer);
}
END_TEST

START_TEST(session_ends_with_the_server)
{
	int fd = begin_session();

	control_bench_end();
	ck_assert(is_disconnected(fd));
	close(fd);
	ck_assert_uint_eq(seen.gone, 1);
	socket_path = control_bench_start(temp_dir, answer);
}
END_TEST

START_TEST(session_is_ended_by_the_server)
{
	int fd = begin_session();

	ck_assert_int_eq(send(fd, "end", 3, 0), 3);
	ck_assert(is_disconnected(fd));
	close(fd);
	control_bench_end();
	ck_assert_uint_eq(seen.gone, 0);
	socket_path = control_bench_start(temp_dir, answer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_clients");
	TCase *tc = suite_case(suite, "clients", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, idle_client_does_not_delay_the_end);
	tcase_add_test(tc, oldest_idle_client_makes_room);
	tcase_add_test(tc, client_that_asked_is_answered_however_many_there_are);
	tcase_add_test(tc, client_that_asks_nothing_is_disconnected);
	tcase_add_test(tc, session_lasts_until_the_client_leaves);
	tcase_add_test(tc, session_ends_with_the_server);
	tcase_add_test(tc, session_is_ended_by_the_server);
	return suite_run(suite);
}
