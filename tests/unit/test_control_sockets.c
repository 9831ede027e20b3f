// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/control/control_socket.c, control_ask.c: sockets of servers that were killed, that are stopped,
 * or that are starting; and servers in two PID namespaces.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_bench.h"
#include "suite.h"
#include "takeover/takeover.h"
#include "takeover/takeover_ask.h"
#include "temp_dir.h"
#include "test_log.h"

static bool answer(struct control *control, const char *question, FILE *to)
{
	(void)control;
	fputs(question, to);
	return true;
}

static void count_answer(const struct control_answer *answered, void *ctx)
{
	unsigned int *count = ctx;

	(void)answered;
	++*count;
}

static unsigned int ask(void)
{
	unsigned int count = 0;

	ck_assert_int_ge(control_ask(temp_dir, "how?", count_answer, &count), 0);
	return count;
}

/* Return: a socket that is bound to temp_dir/@name, and does not listen */
static int bind_socket(const char *name, char path[CONTROL_PATH_MAX])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_uint_lt(strlen(temp_dir), 70);
	snprintf(path, CONTROL_PATH_MAX, "%.70s/%.30s", temp_dir, name);
	strcpy(address.sun_path, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void make_old(const char *path)
{
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* Another server starts in temp_dir, and ends. */
static void start_and_end(void)
{
	control_bench_start(temp_dir, answer);
	control_bench_end();
}

START_TEST(names_are_told_apart)
{
	static const struct {
		const char *name;
		enum control_name kind;
	} names[] = {
		{ "7.control", CONTROL_NAME_PLAIN },
		{ "7-0123abcd.control", CONTROL_NAME_UNIQUE },
		{ ".7-0123abcd.control", CONTROL_NAME_HIDDEN },
		{ ".7.control", CONTROL_NAME_OTHER },
		{ "7-0123abc.control", CONTROL_NAME_OTHER },
		{ "7-0123abcde.control", CONTROL_NAME_OTHER },
		{ "7-0123abcg.control", CONTROL_NAME_OTHER },
		{ "7control", CONTROL_NAME_OTHER },
		{ "7.controls", CONTROL_NAME_OTHER },
		{ "0.control", CONTROL_NAME_OTHER },
		{ "-7.control", CONTROL_NAME_OTHER },
		{ ".control", CONTROL_NAME_OTHER },
		{ "data.inflight", CONTROL_NAME_OTHER },
		{ ".", CONTROL_NAME_OTHER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_msg(control_name_of(names[i].name) == names[i].kind, "%s: %d",
			      names[i].name, control_name_of(names[i].name));
}
END_TEST

/* Left by a server that was killed: passed over by clients, removed by the next server. */
START_TEST(dead_socket_is_removed)
{
	static const char *const names[] = { "4000001-0123abcd.control", "4000001.control",
					     ".4000001-0123abcd.control" };
	char path[CONTROL_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = bind_socket(names[i], path);

		ck_assert_int_eq(listen(fd, 1), 0);
		close(fd);
		make_old(path);
		ck_assert_uint_eq(ask(), 0);
		ck_assert(exists(path));
		start_and_end();
		ck_assert_msg(!exists(path), "%s", names[i]);
	}
}
END_TEST

/* Between bind() and listen(): two servers start at a time. */
START_TEST(socket_in_set_up_stays)
{
	static const char *const names[] = { "4000001.control", ".4000001-0123abcd.control" };
	char path[CONTROL_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = bind_socket(names[i], path);

		start_and_end();
		ck_assert_msg(exists(path), "%s", names[i]);
		ck_assert_int_eq(unlink(path), 0);
		close(fd);
	}
}
END_TEST

START_TEST(servers_of_one_process_id_have_sockets_of_their_own)
{
	char first[CONTROL_PATH_MAX], second[CONTROL_PATH_MAX];
	int a = control_listen(temp_dir, first), b = control_listen(temp_dir, second);

	ck_assert_int_ge(a, 0);
	ck_assert_int_ge(b, 0);
	ck_assert_str_ne(first, second);
	ck_assert(exists(first) && exists(second));
	ck_assert_int_eq(control_name_of(first + strlen(temp_dir) + 1), CONTROL_NAME_UNIQUE);
	ck_assert_int_eq(unlink(first) | unlink(second), 0);
	close(a);
	close(b);
}
END_TEST

#define BACKLOG 2

/* A stopped server, whose backlog is full: connect() would wait for it. */
START_TEST(stopped_server_is_passed_over)
{
	char path[CONTROL_PATH_MAX];
	int fd = bind_socket("4000001-0123abcd.control", path), fds[BACKLOG + 1];

	ck_assert_int_eq(listen(fd, BACKLOG), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = control_connect(path);
		ck_assert_int_ge(fds[i], 0);
	}
	ck_assert_int_eq(control_connect(path), -EAGAIN);

	make_old(path);
	control_bench_start(temp_dir, answer);
	ck_assert(exists(path));
	test_log_expect(LOG_LEVEL_ERROR, "4000001-0123abcd.control does not respond");
	ck_assert_uint_eq(ask(), 1);
	test_log_expect(LOG_LEVEL_ERROR, "4000001-0123abcd.control does not respond");
	control_bench_end();
	ck_assert(exists(path));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* Servers that take the question and are silent are waited for together, and not for long. */
START_TEST(silent_servers_are_passed_over)
{
	char paths[2][CONTROL_PATH_MAX];
	int fds[2] = { bind_socket("4000001-0123abcd.control", paths[0]),
		       bind_socket("4000002-0123abcd.control", paths[1]) };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ck_assert_int_eq(listen(fds[i], 8), 0);
		test_log_expect(LOG_LEVEL_ERROR, ".control does not respond");
	}
	control_bench_start(temp_dir, answer);
	ck_assert_uint_eq(ask(), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ck_assert_int_eq(unlink(paths[i]), 0);
		close(fds[i]);
	}
	control_bench_end();
}
END_TEST

#define NO_NAMESPACE 77

/* Starts a process that is process 1 of a new PID namespace. Return: its parent, here */
static pid_t start_as_pid_1(int (*run)(int fd), int fd)
{
	int status = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	if (unshare(CLONE_NEWPID))
		_exit(NO_NAMESPACE);
	pid = fork();
	if (!pid)
		_exit(getpid() == 1 ? run(fd) : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(1);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static bool leaving;

/* As a server of version 0.1.0, whose takeover is of the whole server. */
static bool answer_leave(struct control *control, const char *question, FILE *to)
{
	(void)control;
	if (!strncmp(question, TAKEOVER_ASK, strlen(TAKEOVER_ASK)))
		return true;
	leaving = !strncmp(question, TAKEOVER_LEAVE, strlen(TAKEOVER_LEAVE));
	fputs(leaving ? TAKEOVER_LEAVING : "it does not understand the question", to);
	return leaving;
}

static bool stopped;

static void set_stopped(struct control *control)
{
	(void)control;
	stopped = true;
}

/* Says through @fd that it listens, and ends when it was asked to leave. */
static int old_server(int fd)
{
	struct control control = { .answer = answer_leave };
	struct ring ring;

	if (ring_init(&ring, 16) || control_start(&control, &ring, temp_dir) ||
	    write(fd, "", 1) != 1)
		return 1;
	while (!leaving)
		if (ring_run(&ring, true))
			return 1;
	control_stop(&control, set_stopped);
	while (!stopped)
		if (ring_run(&ring, true))
			return 1;
	return 0;
}

static int new_server(int fd)
{
	struct device_config device = { .name = (char *)"data" };
	struct config config = {
		.runtime_dir = temp_dir,
		.devices = &device,
		.device_count = 1,
	};
	struct control control = { .answer = answer };
	struct ring ring;

	(void)fd;
	if (ring_init(&ring, 16) || control_start(&control, &ring, temp_dir))
		return 1;
	close(control.fd); /* or it would ask itself */
	return takeover_plain(&config) ? 2 : 0;
}

/* As two containers that share runtime_dir. */
START_TEST(server_of_another_pid_namespace_is_taken_over)
{
	pid_t server, successor;
	int ready[2], status;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	server = start_as_pid_1(old_server, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		ck_assert_int_eq(waitpid(server, &status, 0), server);
		ck_assert_int_eq(WEXITSTATUS(status), NO_NAMESPACE);
		return; /* not root, or in a sandbox */
	}
	successor = start_as_pid_1(new_server, -1);
	ck_assert_int_eq(waitpid(successor, &status, 0), successor);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	ck_assert_int_eq(status, 0);
}
END_TEST

static void take_peer(const struct control_answer *answered, void *ctx)
{
	struct control_peer *peer = ctx;

	*peer = *answered->from;
	peer->pidfd = fcntl(peer->pidfd, F_DUPFD_CLOEXEC, 3);
}

START_TEST(answer_comes_with_the_process_that_gave_it)
{
	struct control_peer peer;
	int ready[2], status;
	siginfo_t info;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid)
		_exit(old_server(ready[1]));
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(control_ask(temp_dir, TAKEOVER_LEAVE, take_peer, &peer), 1);
	ck_assert_int_eq(peer.pid, pid);
	if (peer.pidfd >= 0)
		ck_assert_int_eq(waitid(P_PIDFD, (id_t)peer.pidfd, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	control_peer_put(&peer);
}
END_TEST

static void setup(void)
{
	test_log_begin();
	temp_dir_make();
}

static void teardown(void)
{
	temp_dir_remove();
	test_log_end();
}

int main(void)
{
	Suite *suite = suite_create("control_sockets");
	TCase *tc = suite_case(suite, "sockets", setup, teardown);

	tcase_add_test(tc, names_are_told_apart);
	tcase_add_test(tc, dead_socket_is_removed);
	tcase_add_test(tc, socket_in_set_up_stays);
	tcase_add_test(tc, servers_of_one_process_id_have_sockets_of_their_own);
	tcase_add_test(tc, stopped_server_is_passed_over);
	tcase_add_test(tc, silent_servers_are_passed_over);
	tcase_add_test(tc, server_of_another_pid_namespace_is_taken_over);
	tcase_add_test(tc, answer_comes_with_the_process_that_gave_it);
	return suite_run(suite);
}
