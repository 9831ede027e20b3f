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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_fixture.h"
#include "fds.h"
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

static void count_answer(const struct control_response *answered, void *ctx)
{
	unsigned int *count = ctx;

	(void)answered;
	++*count;
}

static unsigned int ask(void)
{
	unsigned int count = 0;

	ck_assert_int_ge(control_ask_text(temp_dir, "how?", count_answer, &count), 0);
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

static void make_old_by(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = time(NULL) - seconds },
					   { .tv_sec = time(NULL) - seconds } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_old(const char *path)
{
	make_old_by(path, 1000000);
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* Another server starts in temp_dir, and ends. */
static void start_and_end(void)
{
	control_fixture_start(temp_dir, answer);
	control_fixture_end();
}

START_TEST(names_are_told_apart)
{
	static const struct {
		const char *name;
		enum control_name kind;
	} names[] = {
		{ "7.control", CONTROL_NAME_PLAIN },
		{ "1.control", CONTROL_NAME_PLAIN },
		{ "90.control", CONTROL_NAME_PLAIN },
		{ "7-0123abcd.control", CONTROL_NAME_UNIQUE },
		{ ".7-0123abcd.control", CONTROL_NAME_HIDDEN },
		{ ".7.control", CONTROL_NAME_OTHER },
		{ "7-0123abc.control", CONTROL_NAME_OTHER },
		{ "7-0123abcde.control", CONTROL_NAME_OTHER },
		{ "7-0123abcg.control", CONTROL_NAME_OTHER },
		{ "7control", CONTROL_NAME_OTHER },
		{ "7.controls", CONTROL_NAME_OTHER },
		{ "0.control", CONTROL_NAME_OTHER },
		{ ":.control", CONTROL_NAME_OTHER },
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

START_TEST(ten_seconds_are_enough_for_the_set_up)
{
	char path[CONTROL_PATH_MAX];
	int fd = bind_socket("4000001.control", path);

	make_old_by(path, 10);
	start_and_end();
	ck_assert(!exists(path));
	close(fd);
}
END_TEST

/* What else is in the directory is not touched. */
START_TEST(other_files_stay)
{
	char path[CONTROL_PATH_MAX];
	int fd = bind_socket("other.control", path);

	make_old(path);
	start_and_end();
	ck_assert(exists(path));
	ck_assert_int_eq(unlink(path), 0);
	close(fd);
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
	control_fixture_start(temp_dir, answer);
	ck_assert(exists(path));
	test_log_expect(LOG_LEVEL_ERROR, "4000001-0123abcd.control does not respond");
	ck_assert_uint_eq(ask(), 1);
	test_log_expect(LOG_LEVEL_ERROR, "4000001-0123abcd.control does not respond");
	control_fixture_end();
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
	control_fixture_start(temp_dir, answer);
	ck_assert_uint_eq(ask(), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ck_assert_int_eq(unlink(paths[i]), 0);
		close(fds[i]);
	}
	control_fixture_end();
}
END_TEST

START_TEST(path_has_to_fit_into_an_address)
{
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char path[CONTROL_PATH_MAX], directory[200];

	memset(path, 'x', sizeof(path));
	path[room] = '\0';
	ck_assert_int_eq(control_connect(path), -ENAMETOOLONG);
	path[room - 1] = '\0';
	ck_assert_int_eq(control_connect(path), -ENOENT);

	memset(directory, 'x', sizeof(directory));
	directory[sizeof(directory) - 1] = '\0'; /* not even into the buffer */
	ck_assert_int_eq(control_listen(directory, path), -ENAMETOOLONG);
	directory[room - 1] = '\0';
	ck_assert_int_eq(control_listen(directory, path), -ENAMETOOLONG);
	directory[20] = '\0';
	ck_assert_int_eq(control_listen(directory, path), -ENOENT);
}
END_TEST

/* The longest one, for the hidden name as well. */
START_TEST(directory_may_have_a_long_name)
{
	char directory[CONTROL_PATH_MAX], name[CONTROL_PATH_MAX], path[CONTROL_PATH_MAX];
	int fd, len, room = 107;

	room -= snprintf(name, sizeof(name), "/.%d-01234567.control", getpid());
	len = snprintf(directory, sizeof(directory), "%.80s/", temp_dir);
	ck_assert_int_lt(len, room);
	memset(directory + len, 'x', (size_t)(room - len));
	directory[room] = '\0';
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	fd = control_listen(directory, path);
	ck_assert_int_ge(fd, 0);
	ck_assert(exists(path));
	ck_assert_int_eq(control_name_of(path + room + 1), CONTROL_NAME_UNIQUE);
	close(fd);
}
END_TEST

/* Whatever the other side sends, it gives a response or none. */
START_TEST(response_needs_a_file_with_text)
{
	int ends[2], pipe_fds[2];
	bool error = true;
	char *text;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_ptr_null(control_receive(ends[0], &error)); /* nothing has come yet */
	ck_assert_int_eq(send(ends[1], "ok", 2, 0), 2);
	ck_assert_ptr_null(control_receive(ends[0], &error));
	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(control_send(ends[1], true, pipe_fds[0]), 0);
	ck_assert_ptr_null(control_receive(ends[0], &error));
	ck_assert(!error);
	for (int i = 0; i < 2; i++) {
		int file = memfd_create("text", MFD_CLOEXEC);

		ck_assert_int_eq(write(file, "because", 7), 7);
		ck_assert_int_eq(control_send(ends[1], i, file), 0);
		close(file);
		text = control_receive(ends[0], &error);
		ck_assert_str_eq(text, "because");
		ck_assert_int_eq(error, !i);
		free(text);
	}
	close(ends[1]);
	ck_assert_ptr_null(control_receive(ends[0], &error));
	ck_assert_int_eq(control_send(ends[0], true, pipe_fds[0]), -EPIPE);
	close(ends[0]);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

/* ---- the process at the other end ---- */

static bool no_peerpidfd; /* as before Linux 6.5 */

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (no_peerpidfd && name == 77 /* SO_PEERPIDFD */) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
}

/* Does it refer to this process? */
static bool is_this_process(int pidfd)
{
	char path[64], line[256];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Pid: %d", &pid);
	if (f)
		fclose(f);
	return pid == getpid();
}

START_TEST(process_at_the_other_end_is_found_by_any_kernel)
{
	struct control_peer peer;
	int ends[2];

	no_peerpidfd = _i;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	control_peer_get(ends[0], &peer);
	ck_assert_int_eq(peer.pid, getpid());
	if (no_peerpidfd || peer.pidfd >= 0)
		ck_assert(is_this_process(peer.pidfd));
	control_peer_put(&peer);
	ck_assert_int_eq(peer.pidfd, -1);
	control_peer_put(&peer);

	/* Where the connection is closed, the process id may be another process's by now. */
	close(ends[1]);
	control_peer_get(ends[0], &peer);
	if (no_peerpidfd)
		ck_assert_int_eq(peer.pidfd, -1);
	control_peer_put(&peer);
	close(ends[0]);
	no_peerpidfd = false;
}
END_TEST

START_TEST(something_without_a_peer_has_none)
{
	struct control_peer peer;
	char text[CONTROL_PEER_NAME_MAX];

	control_peer_get(-1, &peer);
	ck_assert_int_eq(peer.pid, 0);
	ck_assert_int_eq(peer.pidfd, -1);
	ck_assert_str_eq(control_peer_name(peer.pid, text), "a server in another PID namespace");
	ck_assert_str_eq(control_peer_name(7, text), "the server with process id 7");
}
END_TEST

/* ---- PID namespaces ---- */

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
static bool answer_leave(const char *question, FILE *to)
{
	if (!strncmp(question, "may-leave\n", 10))
		return true;
	leaving = !strncmp(question, "leave\n", 6);
	fputs(leaving ? "leaving" : "it does not understand the question", to);
	return leaving;
}

static void requested_of_old(struct control *control, struct control_call *call)
{
	(void)control;
	control_respond(call, answer_leave(call->text, call->to));
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
	struct control control = { .requested = requested_of_old };
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
	struct control control = { 0 }; /* nobody asks it */
	struct ring ring;

	(void)fd;
	if (ring_init(&ring, 16) || control_start(&control, &ring, temp_dir))
		return 1;
	close(control.fd); /* or it would ask itself */
	return takeover_without_session(&config) ? 2 : 0;
}

/* As two containers that share runtime_dir. */
START_TEST(server_of_another_pid_namespace_is_taken_over)
{
	pid_t server, successor;
	int ready[2], status;
	bool started;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	server = start_as_pid_1(old_server, ready[1]);
	close(ready[1]);
	started = read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!started) {
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

static void take_peer(const struct control_response *answered, void *ctx)
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
	close(ready[0]);
	close(ready[1]);
	ck_assert_int_eq(control_ask(temp_dir, CONTROL_LEAVE, "", take_peer, &peer), 1);
	ck_assert_int_eq(peer.pid, pid);
	if (peer.pidfd >= 0)
		ck_assert_int_eq(waitid(P_PIDFD, (id_t)peer.pidfd, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	control_peer_put(&peer);
}
END_TEST

static unsigned int fds_before;

static void setup(void)
{
	test_log_begin();
	temp_dir_make();
	fds_before = fds_open();
}

static void teardown(void)
{
	ck_assert_uint_eq(fds_open(), fds_before);
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
	tcase_add_test(tc, ten_seconds_are_enough_for_the_set_up);
	tcase_add_test(tc, other_files_stay);
	tcase_add_test(tc, path_has_to_fit_into_an_address);
	tcase_add_test(tc, directory_may_have_a_long_name);
	tcase_add_test(tc, response_needs_a_file_with_text);
	tcase_add_loop_test(tc, process_at_the_other_end_is_found_by_any_kernel, 0, 2);
	tcase_add_test(tc, something_without_a_peer_has_none);
	return suite_run(suite);
}
