// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/control/control.c: clients that send no request, and sessions. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_fixture.h"
#include "fds.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "threads.h"

static const char *socket_path;

static bool answer(struct control *control, const char *question, FILE *to)
{
	(void)control;
	fputs(question, to);
	return true;
}

static void count_answer(const struct control_response *answered, void *ctx)
{
	unsigned int *count = ctx;

	ck_assert(!answered->error);
	++*count;
}

static unsigned int ask(void)
{
	unsigned int count = 0;

	ck_assert_int_ge(control_ask_text(temp_dir, "how?", count_answer, &count), 0);
	return count;
}

/* Return: a connected client that blocks */
static int connect_client(void)
{
	int fd;

	/* -EAGAIN: the server has not accepted the others yet. */
	turn_until((fd = control_connect(socket_path)) != -EAGAIN, other_threads_run());
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
	control_fixture_end();
	control_fixture.idle_ms = 20;
	socket_path = control_fixture_start(temp_dir, answer);
}

static void setup(void)
{
	test_log_begin();
	socket_path = control_fixture_start(temp_dir, answer);
}

static void teardown(void)
{
	control_fixture_end();
	ck_assert_uint_eq(ask(), 0);
	test_log_end();
}

START_TEST(idle_client_does_not_delay_the_end)
{
	int idle = connect_client();

	ck_assert_uint_eq(ask(), 1); /* so the server has accepted it */
	control_fixture_end();
	ck_assert(is_disconnected(idle));
	close(idle);
	socket_path = control_fixture_start(temp_dir, answer);
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
START_TEST(client_that_asked_gets_a_response_however_many_there_are)
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
		ck_assert_int_eq(control_session_send(session, text), 0);
}

static void gone(struct control_session *session)
{
	ck_assert_ptr_eq(session, &seen.session);
	seen.gone++;
	ck_assert_int_eq(control_session_send(session, "hello?"), -ENOTCONN);
}

static bool begin(struct control *control, struct control_call *call)
{
	(void)control;
	if (strcmp(call->text, "stay"))
		return false;
	seen.session.received = said;
	seen.session.ended = gone;
	control_session(call, &seen.session);
	seen.pid = seen.session.peer.pid;
	fputs("welcome", call->to);
	control_respond(call, true);
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
	control_fixture_end();
	control_fixture.begin = begin;
	socket_path = control_fixture_start(temp_dir, answer);
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
	control_fixture_end();
	ck_assert_uint_eq(seen.said, 200);
	ck_assert_uint_eq(seen.gone, 1);
	ck_assert_int_eq(seen.pid, getpid());
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

START_TEST(session_ends_with_the_server)
{
	int fd = begin_session();

	control_fixture_end();
	ck_assert(is_disconnected(fd));
	close(fd);
	ck_assert_uint_eq(seen.gone, 1);
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

START_TEST(session_is_ended_by_the_server)
{
	int fd = begin_session();

	ck_assert_int_eq(send(fd, "end", 3, 0), 3);
	ck_assert(is_disconnected(fd));
	close(fd);
	control_fixture_end();
	ck_assert_uint_eq(seen.gone, 0);
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

/* ---- a server on the thread of the test ---- */

#define ROUNDS 20

static struct {
	struct ring ring;
	struct control control;
	struct control_session sessions[CONTROL_CLIENTS_MAX];
	unsigned int begun, gone, stopped;
	const char *said;
	unsigned int fds_before;
} own;

static void own_said(struct control_session *session, const char *text)
{
	(void)session;
	own.said = text;
}

static void own_gone(struct control_session *session)
{
	ck_assert_ptr_null(session->client);
	own.gone++;
}

static void own_requested(struct control *control, struct control_call *call)
{
	struct control_session *session = &own.sessions[own.begun];

	ck_assert_ptr_eq(control, &own.control);
	if (strcmp(call->text, "stay")) {
		fputs(call->text, call->to);
	} else {
		session->received = own_said;
		session->ended = own_gone;
		control_session(call, session);
		fprintf(call->to, "session %u", own.begun++);
	}
	control_respond(call, true);
}

static void run(void)
{
	for (int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(ring_run(&own.ring, false), 0);
}

static void own_stopped(struct control *control)
{
	ck_assert_ptr_null(control->clients);
	ck_assert(!control->idle.active);
	ck_assert_int_eq(fcntl(control->fd, F_GETFD), -1);
	own.stopped++;
}

/* Return: a client that the server has accepted */
static int own_client(void)
{
	int fd = control_connect(own.control.path);

	ck_assert_int_ge(fd, 0);
	run();
	return fd;
}

static void send_text(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0), strlen(text));
	run();
}

/* Sends @question. Return: the response, to be freed; NULL: none has come */
static char *ask_own(int fd, const char *question)
{
	bool error;

	send_text(fd, question);
	return control_receive(fd, &error);
}

static int own_session(void)
{
	int fd = own_client();
	char *text = ask_own(fd, "stay");

	ck_assert_ptr_nonnull(text);
	free(text);
	return fd;
}

static bool was_disconnected(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void stop(void)
{
	control_stop(&own.control, own_stopped);
	ck_assert_uint_eq(own.stopped, 0); /* the ring holds its files still */
	run();
	ck_assert_uint_eq(own.stopped, 1);
	ck_assert_int_eq(access(own.control.path, F_OK), -1);
}

static void own_setup(void)
{
	test_log_begin();
	memset(&own, 0, sizeof(own));
	own.fds_before = fds_open();
	own.control.requested = own_requested;
	own.control.idle_ms = 3000; /* three ticks */
	ck_assert_int_eq(ring_init(&own.ring, 64), 0);
	ck_assert_int_eq(control_start(&own.control, &own.ring, temp_dir), 0);
}

static void own_teardown(void)
{
	if (!own.stopped)
		stop();
	ring_exit(&own.ring);
	ck_assert_uint_eq(fds_open(), own.fds_before);
	test_log_end();
}

static void tick(void)
{
	ck_assert(own.control.idle.active);
	ring_timer_expire_now(&own.ring, &own.control.idle);
	run();
}

START_TEST(idle_time_of_each_client_is_its_own)
{
	int first = own_client(), session = own_session(), second;

	ck_assert_int_eq(own.control.idle.ts.tv_sec, 1);
	tick();
	second = own_client();
	for (int i = 0; i < 2; i++) {
		tick();
		ck_assert(!was_disconnected(first));
	}
	tick();
	ck_assert(was_disconnected(first));
	ck_assert(!was_disconnected(second));
	tick();
	ck_assert(was_disconnected(second));
	for (int i = 0; i < 5; i++)
		tick();
	ck_assert(!was_disconnected(session)); /* which may last */
	close(first);
	close(second);
	close(session);
	run();
	ck_assert(!own.control.idle.active); /* nobody is there */
	ck_assert_uint_eq(own.gone, 1);
}
END_TEST

START_TEST(sessions_do_not_make_room)
{
	int fds[CONTROL_CLIENTS_MAX], other;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = own_session();
	other = own_client();
	ck_assert(was_disconnected(other));
	close(other);
	close(fds[3]);
	run();
	ck_assert_uint_eq(own.gone, 1);
	other = own_client();
	ck_assert(!was_disconnected(other));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (i == 3)
			continue;
		send_text(fds[i], "still here");
		ck_assert_str_eq(own.said, "still here");
		own.said = "";
		close(fds[i]);
	}
	close(other);
	run();
	ck_assert_uint_eq(own.gone, CONTROL_CLIENTS_MAX);
}
END_TEST

START_TEST(clients_leave_in_any_order)
{
	int fds[3];
	char *text;

	for (int i = 0; i < 3; i++)
		fds[i] = own_client();
	for (int i = 0; i < 3; i++) {
		int fd = fds[(_i + i) % 3];

		ck_assert_uint_eq(own.control.open, 3 - (unsigned int)i);
		text = ask_own(fd, "how?");
		ck_assert_str_eq(text, "how?");
		free(text);
		ck_assert(was_disconnected(fd));
		close(fd);
	}
	ck_assert_uint_eq(own.control.open, 0);
	ck_assert_ptr_null(own.control.clients);
}
END_TEST

START_TEST(end_waits_for_all_that_the_ring_holds)
{
	int idle = own_client(), session = own_session();

	stop();
	ck_assert(was_disconnected(idle) && was_disconnected(session));
	ck_assert_uint_eq(own.gone, 1);
	run();
	ck_assert_uint_eq(own.stopped, 1);
	close(idle);
	close(session);
}
END_TEST

START_TEST(session_may_be_ended_twice)
{
	int fd = own_session();

	control_session_end(&own.sessions[0]);
	control_session_end(&own.sessions[0]);
	run();
	ck_assert(was_disconnected(fd));
	ck_assert_int_eq(control_session_send(&own.sessions[0], "hello?"), -ENOTCONN);
	ck_assert_uint_eq(own.gone, 0);
	close(fd);
}
END_TEST

/* The rest is dropped, and a response comes. */
START_TEST(long_request_is_cut)
{
	static char question[CONTROL_REQUEST_MAX + 1000];
	int fd = own_client();
	char *text;

	memset(question, 'q', sizeof(question) - 1);
	text = ask_own(fd, question);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(strlen(text), CONTROL_REQUEST_MAX);
	free(text);
	close(fd);
}
END_TEST

START_TEST(response_that_cannot_be_sent_is_logged)
{
	int gone = own_client(), there = own_client();
	char *text;

	ck_assert_int_eq(send(gone, "how?", 4, 0), 4);
	close(gone);
	run();
	ck_assert_uint_eq(test_log_count("cannot send a response"), 1);
	text = ask_own(there, "how?");
	free(text);
	close(there);
	ck_assert_uint_eq(test_log_count("cannot send a response"), 1);
}
END_TEST

START_TEST(client_is_disconnected_where_there_are_no_descriptors)
{
	int fd = own_client();
	struct rlimit limit, none;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	test_log_expect(LOG_LEVEL_ERROR, "cannot create a memory file for a response");
	send_text(fd, "how?");
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert(was_disconnected(fd));
	close(fd);
}
END_TEST

START_TEST(server_cannot_listen_in_a_directory_that_is_not_there)
{
	struct control other = { .requested = own_requested };

	test_log_expect(LOG_LEVEL_ERROR, "cannot listen in /nowhere for vduse-blk list");
	ck_assert_int_eq(control_start(&other, &own.ring, "/nowhere"), -ENOENT);
}
END_TEST

/* ---- responses that come later ---- */

/* What the server's thread owes, and is asked to do about it. */
static struct owed {
	struct control_deferred deferred;
	unsigned int cancelled;
} owed[CONTROL_DEFERRED_MAX + 1];
static unsigned int owed_count;

static void cancelled(struct control_deferred *deferred)
{
	struct owed *one = container_of(deferred, struct owed, deferred);

	ck_assert_ptr_null(deferred->call);
	__atomic_add_fetch(&one->cancelled, 1, __ATOMIC_SEQ_CST);
}

/* "later": defer; "now": respond to what was deferred; "ask": tell how many are owed */
static bool defer(struct control *control, struct control_call *call)
{
	struct owed *one = &owed[owed_count];

	(void)control;
	if (!strcmp(call->text, "now")) {
		for (unsigned int i = 0; i < owed_count; i++) {
			if (!owed[i].deferred.call)
				continue;
			fprintf(owed[i].deferred.call->to, "here it is");
			control_respond(owed[i].deferred.call, true);
			ck_assert_ptr_null(owed[i].deferred.call);
		}
		return false;
	}
	if (strcmp(call->text, "later"))
		return false;
	*one = (struct owed){ .deferred = { .cancelled = cancelled } };
	if (control_defer(call, &one->deferred)) {
		fputs("too many", call->to);
		control_respond(call, false);
	} else {
		owed_count++;
	}
	return true;
}

static int ask_later(void)
{
	int fd = connect_client();

	ck_assert_int_eq(send(fd, "later", 5, 0), 5);
	return fd;
}

static void expect_response(int fd, const char *expected)
{
	struct pollfd come = { .fd = fd, .events = POLLIN };
	bool error;
	char *text;

	ck_assert_int_eq(poll(&come, 1, -1), 1);
	text = control_receive(fd, &error);
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, expected);
	ck_assert_int_eq(error, !strcmp(expected, "too many"));
	free(text);
}

static void start_deferring(unsigned int idle_ms)
{
	control_fixture_end();
	owed_count = 0;
	control_fixture.begin = defer;
	control_fixture.idle_ms = idle_ms;
	socket_path = control_fixture_start(temp_dir, answer);
}

static void say_now(void)
{
	unsigned int count = 0;

	ck_assert_int_eq(control_ask_text(temp_dir, "now", count_answer, &count), 1);
}

/* Others are answered meanwhile, and a client that waits is not an idle one. */
START_TEST(response_comes_later)
{
	int fd, idle_fd;

	start_deferring(300);
	fd = ask_later();
	ck_assert_int_eq(send(fd, "later", 5, 0), 5); /* not another one before the response */
	for (int i = 0; i < 2; i++) {		      /* idle ones come and go */
		idle_fd = connect_client();
		ck_assert(is_disconnected(idle_fd));
		close(idle_fd);
	}
	ck_assert_uint_eq(ask(), 1);
	say_now();
	expect_response(fd, "here it is");
	ck_assert(is_disconnected(fd));
	close(fd);
	control_fixture_end();
	ck_assert_uint_eq(owed_count, 1);
	ck_assert_uint_eq(owed[0].cancelled, 0);
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

START_TEST(request_whose_client_has_gone_is_cancelled)
{
	int gone_fd, fd;

	start_deferring(0);
	gone_fd = ask_later();
	fd = ask_later();
	ck_assert_uint_eq(ask(), 1);
	close(gone_fd);
	turn_until(__atomic_load_n(&owed[0].cancelled, __ATOMIC_SEQ_CST), other_threads_run());
	say_now();
	expect_response(fd, "here it is");
	close(fd);
	control_fixture_end();
	ck_assert_uint_eq(owed[0].cancelled, 1);
	ck_assert_uint_eq(owed[1].cancelled, 0);
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

START_TEST(request_is_cancelled_when_the_server_ends)
{
	int fd;

	start_deferring(0);
	fd = ask_later();
	ck_assert_uint_eq(ask(), 1);
	control_fixture_end();
	ck_assert(is_disconnected(fd));
	close(fd);
	ck_assert_uint_eq(owed[0].cancelled, 1);
	socket_path = control_fixture_start(temp_dir, answer);
}
END_TEST

/* However many wait, other requests are answered. */
START_TEST(outstanding_responses_are_limited)
{
	int fds[CONTROL_DEFERRED_MAX + 1];

	start_deferring(0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = ask_later();
		ck_assert_uint_eq(ask(), 1);
	}
	expect_response(fds[CONTROL_DEFERRED_MAX], "too many");
	say_now();
	for (size_t i = 0; i < CONTROL_DEFERRED_MAX; i++)
		expect_response(fds[i], "here it is");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_clients");
	TCase *tc = suite_case(suite, "clients", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, idle_client_does_not_delay_the_end);
	tcase_add_test(tc, oldest_idle_client_makes_room);
	tcase_add_test(tc, client_that_asked_gets_a_response_however_many_there_are);
	tcase_add_test(tc, client_that_asks_nothing_is_disconnected);
	tcase_add_test(tc, session_lasts_until_the_client_leaves);
	tcase_add_test(tc, session_ends_with_the_server);
	tcase_add_test(tc, session_is_ended_by_the_server);
	tcase_add_test(tc, response_comes_later);
	tcase_add_test(tc, request_whose_client_has_gone_is_cancelled);
	tcase_add_test(tc, request_is_cancelled_when_the_server_ends);
	tcase_add_test(tc, outstanding_responses_are_limited);
	tc = suite_case(suite, "own", own_setup, own_teardown);
	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, idle_time_of_each_client_is_its_own);
	tcase_add_test(tc, sessions_do_not_make_room);
	tcase_add_loop_test(tc, clients_leave_in_any_order, 0, 3);
	tcase_add_test(tc, end_waits_for_all_that_the_ring_holds);
	tcase_add_test(tc, session_may_be_ended_twice);
	tcase_add_test(tc, long_request_is_cut);
	tcase_add_test(tc, response_that_cannot_be_sent_is_logged);
	tcase_add_test(tc, client_is_disconnected_where_there_are_no_descriptors);
	tcase_add_test(tc, server_cannot_listen_in_a_directory_that_is_not_there);
	return suite_run(suite);
}
