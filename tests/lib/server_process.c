// SPDX-License-Identifier: GPL-2.0-or-later
#include "server_process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_START "vduse-blk: "

static void open_text(struct server_text *text, int *its_end)
{
	int pair[2];

	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	text->fd = pair[0];
	*its_end = pair[1];
}

void server_spawn(struct server_process *server, int (*run)(void *arg), void *arg)
{
	int out, log;

	*server = (struct server_process){ .allowed = server->allowed };
	open_text(&server->out, &out);
	open_text(&server->log, &log);
	fflush(NULL);
	server->pid = fork();
	ck_assert_int_ge(server->pid, 0);
	if (!server->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		close(out);
		close(log);
		close(server->out.fd);
		close(server->log.fd);
		exit(run(arg));
	}
	close(out);
	close(log);
}

/* Return: false: there is no more */
static bool read_more(struct server_text *text)
{
	size_t room = sizeof(text->text) - 1 - text->len;
	ssize_t n;

	ck_assert_uint_gt(room, 0);
	do {
		n = read(text->fd, text->text + text->len, room);
	} while (n < 0 && errno == EINTR);
	ck_assert_int_ge(n, 0);
	text->len += (size_t)n;
	return n > 0;
}

static bool has_line(const struct server_text *text)
{
	return memchr(text->text + text->seen, '\n', text->len - text->seen);
}

/* Return: the next line, which stays for one call; NULL: the process has closed the file */
static const char *next_line(struct server_text *text)
{
	static char line[1024];
	char *start, *end;

	do {
		start = text->text + text->seen;
		end = memchr(start, '\n', text->len - text->seen);
	} while (!end && read_more(text));
	if (!end)
		return NULL;
	text->seen += (size_t)(end - start) + 1;
	snprintf(line, sizeof(line), "%.*s", (int)(end - start), start);
	return line;
}

static bool is_harmless(const struct server_process *server, const char *line)
{
	const char *level = line + strlen(LOG_START);

	if (strncmp(line, LOG_START, strlen(LOG_START)))
		return false;
	if (strncmp(level, "error: ", 7) && strncmp(level, "warning: ", 9))
		return true;
	return server->allowed && strstr(line, server->allowed);
}

void server_expect_log(struct server_process *server, const char *part)
{
	const char *line;

	while ((line = next_line(&server->log)) && !strstr(line, part))
		ck_assert_msg(is_harmless(server, line), "unexpected log line: %s", line);
	ck_assert_msg(line != NULL, "this log line never came: %s", part);
}

bool server_saw_log(struct server_process *server, const char *part)
{
	struct pollfd more = { .fd = server->log.fd, .events = POLLIN };

	while (poll(&more, 1, 0) > 0 && read_more(&server->log))
		;
	return strstr(server->log.text, part);
}

/* Until there is output. The lines that come are still there for server_expect_log(). */
static void watch_log(struct server_process *server)
{
	struct pollfd polls[] = { { .fd = server->out.fd, .events = POLLIN },
				  { .fd = server->log.fd, .events = POLLIN } };
	const char *line;
	size_t seen = server->log.seen;

	while (!has_line(&server->out) && poll(polls, 2, -1) > 0 && !polls[0].revents &&
	       read_more(&server->log))
		while (has_line(&server->log)) {
			line = next_line(&server->log);
			ck_assert_msg(is_harmless(server, line), "unexpected log line: %s", line);
		}
	server->log.seen = seen;
}

static bool is_allowed_out(const struct server_process *server, const char *line)
{
	return server->allowed_out && !strcmp(line, server->allowed_out);
}

static int find_line(const char *const *lines, int count, unsigned int seen, const char *line)
{
	for (int i = 0; i < count; i++)
		if (!(seen >> i & 1) && !strcmp(lines[i], line))
			return i;
	return -1;
}

void server_expect_outs(struct server_process *server, const char *const *lines, int count)
{
	unsigned int seen = 0;
	const char *came;
	int at;

	for (int missing = count; missing; missing -= at >= 0) {
		watch_log(server);
		came = next_line(&server->out);
		ck_assert_msg(came != NULL, "%d lines of %s... never came", missing, lines[0]);
		at = find_line(lines, count, seen, came);
		ck_assert_msg(at >= 0 || is_allowed_out(server, came), "unexpected output: %s",
			      came);
		seen |= at >= 0 ? 1u << at : 0;
	}
}

void server_expect_out(struct server_process *server, const char *line)
{
	server_expect_outs(server, &line, 1);
}

int server_wait(struct server_process *server)
{
	const char *line;
	int status;

	while ((line = next_line(&server->log)))
		ck_assert_msg(is_harmless(server, line), "unexpected log line: %s", line);
	while ((line = next_line(&server->out)))
		ck_assert_msg(is_allowed_out(server, line), "unexpected output: %s", line);
	close(server->out.fd);
	close(server->log.fd);
	ck_assert_int_eq(waitpid(server->pid, &status, 0), server->pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

unsigned int server_log_count(const struct server_process *server, const char *part)
{
	unsigned int count = 0;

	for (const char *at = server->log.text; (at = strstr(at, part)); at += strlen(part))
		count++;
	return count;
}
