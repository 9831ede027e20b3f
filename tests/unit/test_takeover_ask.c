// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/takeover/takeover_ask.c: which servers agree to be taken over, with servers of every version. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_fixture.h"
#include "fds.h"
#include "suite.h"
#include "takeover/takeover.h"
#include "takeover/takeover_ask.h"
#include "temp_dir.h"
#include "test_log.h"

static struct device_config devices[] = { { .name = (char *)"a" }, { .name = (char *)"bb" } };
static struct config config = { .devices = devices, .device_count = ARRAY_SIZE(devices) };

/* What the server does; read by its thread after a question has come. */
static const char *plain_refusal;   /* of may-leave; NULL: it agrees */
static const char *session_refusal; /* NULL: it agrees */
static unsigned int asked, left;
static struct control_session session;
static unsigned int sessions_gone;

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* Version 0.1.0. It does not end here, and has no session. */
static bool plain_answer(struct control *control, const char *question, FILE *to)
{
	(void)control;
	if (starts_with(question, "may-leave\n")) {
		ck_assert_str_eq(question + 10, "a\nbb\n");
		asked++;
		fputs(plain_refusal ? plain_refusal : "", to);
		return !plain_refusal;
	}
	left += starts_with(question, "leave\n");
	fputs(strcmp(question, "end") ? CONTROL_UNKNOWN : "", to);
	return false;
}

static void said(struct control_session *with, const char *text)
{
	ck_assert_int_eq(control_session_send(with, text), 0);
}

static void gone(struct control_session *with)
{
	(void)with;
	sessions_gone++;
}

static bool begin(struct control *control, struct control_call *call)
{
	(void)control;
	if (!starts_with(call->text, "take-over\n"))
		return false;
	ck_assert_str_eq(call->text + 10, "a\nbb\n");
	fputs(session_refusal ? session_refusal : "bb\n", call->to);
	session = (struct control_session){ .received = said, .ended = gone };
	if (!session_refusal)
		control_session(call, &session);
	control_respond(call, !session_refusal);
	return true;
}

static bool concerns_nobody(struct control *control, struct control_call *call)
{
	(void)control;
	if (!starts_with(call->text, "take-over\n"))
		return false;
	control_respond(call, true);
	return true;
}

static void start(bool (*session_begin)(struct control *control, struct control_call *call))
{
	control_fixture.begin = session_begin;
	control_fixture_start(temp_dir, plain_answer);
}

static void setup(void)
{
	test_log_begin();
	temp_dir_make();
	config.runtime_dir = temp_dir;
	plain_refusal = session_refusal = NULL;
	asked = left = sessions_gone = 0;
}

static void teardown(void)
{
	temp_dir_remove();
	test_log_end();
}

START_TEST(session_is_kept)
{
	struct takeover_agreement agreement = { 0 };
	struct pollfd come;
	char echo[8] = "";

	start(begin);
	ck_assert_int_eq(takeover_ask(&config, &agreement), 0);
	ck_assert_uint_eq(agreement.count, 1);
	ck_assert(!agreement.without_session);
	ck_assert_str_eq(agreement.servers[0].names, "bb\n");
	ck_assert_int_eq(agreement.servers[0].pid, getpid());
	ck_assert_int_eq(send(agreement.servers[0].fd, "hello", 5, 0), 5);
	come = (struct pollfd){ .fd = agreement.servers[0].fd, .events = POLLIN };
	ck_assert_int_eq(poll(&come, 1, -1), 1);
	ck_assert_int_eq(recv(agreement.servers[0].fd, echo, 7, 0), 5);
	ck_assert_str_eq(echo, "hello");
	takeover_agreement_free(&agreement);
	control_fixture_end();
	ck_assert_uint_eq(sessions_gone, 1);
	ck_assert_uint_eq(asked + left, 0);
}
END_TEST

static void requested_elsewhere(struct control *control, struct control_call *call)
{
	bool ok = starts_with(call->text, "take-over\n");

	(void)control;
	fputs(ok ? "a\n" : CONTROL_UNKNOWN, call->to);
	session = (struct control_session){ .received = said, .ended = gone };
	if (ok)
		control_session(call, &session);
	control_respond(call, ok);
}

/* One more server, as a process. Return: its process id. @path: of its socket */
static pid_t start_elsewhere(char path[CONTROL_PATH_MAX])
{
	struct control control = { .requested = requested_elsewhere };
	struct ring ring;
	int ready[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ring_init(&ring, 16) || control_start(&control, &ring, temp_dir) ||
		    write(ready[1], control.path, CONTROL_PATH_MAX) != CONTROL_PATH_MAX)
			_exit(1);
		while (!ring_run(&ring, true))
			;
		_exit(1);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], path, CONTROL_PATH_MAX), CONTROL_PATH_MAX);
	close(ready[0]);
	return pid;
}

/* Each has some of the disks; where one refuses, the other has agreed all the same. */
START_TEST(servers_agree_or_refuse_each_for_itself)
{
	struct takeover_agreement agreement = { 0 };
	unsigned int fds = fds_open();
	char path[CONTROL_PATH_MAX];
	pid_t elsewhere = start_elsewhere(path);
	size_t i, count = _i ? 1 : 2;

	if (_i) {
		session_refusal = "it serves c too";
		test_log_expect(LOG_LEVEL_ERROR, "it serves c too");
	}
	start(begin);
	ck_assert_int_eq(takeover_ask(&config, &agreement), _i ? -EBUSY : 0);
	ck_assert_uint_eq(agreement.count, count);
	for (i = 0; i < count; i++) {
		bool is_elsewhere = agreement.servers[i].pid == elsewhere;

		ck_assert_str_eq(agreement.servers[i].names, is_elsewhere ? "a\n" : "bb\n");
		ck_assert_int_ge(agreement.servers[i].fd, 0);
	}
	ck_assert(!agreement.without_session);
	takeover_agreement_free(&agreement);
	ck_assert_uint_eq(agreement.count, 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(kill(elsewhere, SIGKILL), 0);
	ck_assert_int_eq(waitpid(elsewhere, NULL, 0), elsewhere);
	control_fixture_end();
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

START_TEST(refusal_is_passed_on)
{
	struct takeover_agreement agreement = { 0 };

	session_refusal = "it serves c too";
	start(begin);
	test_log_expect(LOG_LEVEL_ERROR, "cannot take over from the server with process id");
	ck_assert_int_eq(takeover_ask(&config, &agreement), -EBUSY);
	ck_assert_uint_eq(agreement.count, 0);
	takeover_agreement_free(&agreement);
	control_fixture_end();
	ck_assert_uint_eq(test_log_count("it serves c too"), 1);
}
END_TEST

START_TEST(server_without_our_disks_is_left_alone)
{
	struct takeover_agreement agreement = { 0 };

	start(concerns_nobody);
	ck_assert_int_eq(takeover_ask(&config, &agreement), 0);
	ck_assert_uint_eq(agreement.count, 0);
	ck_assert(!agreement.without_session);
	control_fixture_end();
	ck_assert_int_eq(takeover_ask(&config, &agreement), 0); /* and where there is none at all */
	takeover_agreement_free(&agreement);
	ck_assert_uint_eq(asked + left, 0);
}
END_TEST

/* It is asked whether it would leave, and not yet to do so. */
START_TEST(version_before_is_asked_its_way)
{
	struct takeover_agreement agreement = { 0 };

	start(NULL);
	ck_assert_int_eq(takeover_ask(&config, &agreement), 0);
	ck_assert_uint_eq(agreement.count, 0);
	ck_assert(agreement.without_session);
	takeover_agreement_free(&agreement);
	plain_refusal = "it serves c too";
	test_log_expect(LOG_LEVEL_ERROR, "it serves c too");
	ck_assert_int_eq(takeover_ask(&config, &agreement), -EBUSY);
	takeover_agreement_free(&agreement);
	control_fixture_end();
	ck_assert_uint_eq(asked, 2);
	ck_assert_uint_eq(left, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("takeover_ask");
	TCase *tc = suite_case(suite, "ask", setup, teardown);

	tcase_add_test(tc, session_is_kept);
	tcase_add_loop_test(tc, servers_agree_or_refuse_each_for_itself, 0, 2);
	tcase_add_test(tc, refusal_is_passed_on);
	tcase_add_test(tc, server_without_our_disks_is_left_alone);
	tcase_add_test(tc, version_before_is_asked_its_way);
	return suite_run(suite);
}
