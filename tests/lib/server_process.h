/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server as a process of its own: what it prints and logs, its signals, its exit status.
 *
 * A warning, an error or a line of another program in its log that the test has not announced
 * aborts the test. The process is killed with the test.
 */
#ifndef TESTS_SERVER_PROCESS_H
#define TESTS_SERVER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#define SERVER_TEXT_MAX 16384

struct server_process {
	pid_t pid;
	const char *allowed; /* (t) a part of error lines and warnings that may come; NULL: none */
	const char *allowed_out; /* (t) a line of standard output that may come; NULL: none */
	struct server_text {
		int fd;
		char text[SERVER_TEXT_MAX]; /* all that has come */
		size_t len;
		size_t seen; /* lines before it were returned already */
	} out, log;
};

/** server_spawn() - start a process that runs @run and ends with its result */
void server_spawn(struct server_process *server, int (*run)(void *arg), void *arg);

/** server_expect_log() - wait for a log line with @part; the lines before it are passed over */
void server_expect_log(struct server_process *server, const char *part);

/** server_saw_log() - is @part in the log that has come? Waits for nothing, passes over nothing */
bool server_saw_log(struct server_process *server, const char *part);

/** server_expect_out() - wait for the next line of standard output, which is @line */
void server_expect_out(struct server_process *server, const char *line);

/** server_expect_outs() - wait for these lines, in any order */
void server_expect_outs(struct server_process *server, const char *const *lines, int count);

/** server_wait() - wait until it ends. Return: its exit status */
int server_wait(struct server_process *server);

/** server_log_count() - how often is @part in the log? After server_wait(): in all of it */
unsigned int server_log_count(const struct server_process *server, const char *part);

#endif
