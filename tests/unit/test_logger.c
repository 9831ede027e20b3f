// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/process/logger.c and notify.c: no caller waits for a stuck reader. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "compiler.h"
#include "log.h"
#include "process/logger.h"
#include "process/notify.h"
#include "manager_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "time_ns.h"

#define FAR_AWAY_NS (time_now_ns() + 3600ull * 1000000000)
#define LINES	    20000u /* of each of two threads: more than any queue */

/* Standard output or error as a pipe, and what it was. */
struct standard {
	int fd, was, reader;
	size_t filled;
};

static struct standard out = { .fd = STDOUT_FILENO }, err = { .fd = STDERR_FILENO };

static void standard_pipe(struct standard *s)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	s->was = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
	ck_assert_int_eq(dup2(fds[1], s->fd), s->fd);
	close(fds[1]);
	s->reader = fds[0];
	s->filled = 0;
}

static void standard_restore(struct standard *s)
{
	dup2(s->was, s->fd);
	close(s->was);
	close(s->reader);
}

static void standard_fill(struct standard *s)
{
	char page[4096] = { 0 };
	int flags = fcntl(s->fd, F_GETFL);
	ssize_t n;

	ck_assert_int_eq(fcntl(s->fd, F_SETFL, flags | O_NONBLOCK), 0);
	while ((n = write(s->fd, page, sizeof(page))) > 0)
		s->filled += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(fcntl(s->fd, F_SETFL, flags), 0);
}

static void standard_take(struct standard *s, void *to, size_t size)
{
	while (size) {
		ssize_t n = read(s->reader, to, size);

		ck_assert_int_gt(n, 0);
		to = (char *)to + n;
		size -= (size_t)n;
	}
}

static void standard_drain(struct standard *s)
{
	char *page = malloc(s->filled);

	standard_take(s, page, s->filled);
	free(page);
	s->filled = 0;
}

/* The next line, without its newline. */
static void standard_line(struct standard *s, char line[256])
{
	size_t len = 0;

	do {
		ck_assert_uint_lt(len, 255);
		standard_take(s, line + len, 1);
	} while (line[len++] != '\n');
	line[len - 1] = '\0';
}

static void check_line(struct standard *s, const char *want)
{
	char line[256];

	standard_line(s, line);
	ck_assert_str_eq(line, want);
}

static void setup(void)
{
	unsetenv("JOURNAL_STREAM");
	unsetenv("NOTIFY_SOCKET");
	standard_pipe(&out);
	standard_pipe(&err);
	log_init(logger_print, LOG_LEVEL_INFO);
}

static void teardown(void)
{
	log_init(NULL, LOG_LEVEL_ERROR);
	standard_restore(&out);
	standard_restore(&err);
}

static void start(void)
{
	ck_assert_int_eq(logger_start(), 0);
}

static void stop(void)
{
	logger_stop(FAR_AWAY_NS);
}

/* ---- the lines ---- */

START_TEST(lines_look_the_same_before_while_and_after_disks_are_served)
{
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			start();
		log_err("a");
		log_warn("b %d", i);
		log_info("c");
		if (i == 1)
			stop();
		check_line(&err, "vduse-blk: error: a");
		check_line(&err, i == 0	  ? "vduse-blk: warning: b 0"
				 : i == 1 ? "vduse-blk: warning: b 1"
					  : "vduse-blk: warning: b 2");
		check_line(&err, "vduse-blk: c");
	}
}
END_TEST

START_TEST(lines_for_the_journal_have_priorities)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_err("a");
	log_warn("b");
	log_info("c");
	unsetenv("JOURNAL_STREAM");
	check_line(&err, "<3>a");
	check_line(&err, "<4>b");
	check_line(&err, "<6>c");
}
END_TEST

START_TEST(output_is_written)
{
	start();
	logger_output("%s %s\n", "disk0", "/dev/vdb");
	logger_output("disk1 /dev/vdc\n");
	logger_flush_output(FAR_AWAY_NS);
	check_line(&out, "disk0 /dev/vdb");
	check_line(&out, "disk1 /dev/vdc");
	stop();
}
END_TEST

/* ---- readers that are stuck ---- */

static void *log_lines(void *arg)
{
	for (unsigned int i = 0; i < LINES; i++)
		log_info("%s %u", (const char *)arg, i);
	return NULL;
}

/* What comes of two threads' lines: those that were not dropped, and how many were. */
static unsigned int read_lines(void)
{
	unsigned int arrived = 0, dropped = 0, count;
	char line[256];

	while (arrived + dropped < 2 * LINES) {
		standard_line(&err, line);
		if (sscanf(line,
			   "vduse-blk: warning: %u log lines were dropped: standard error did not "
			   "take them",
			   &count) == 1)
			dropped += count;
		else
			arrived++;
	}
	ck_assert_uint_eq(arrived + dropped, 2 * LINES);
	return dropped;
}

START_TEST(full_standard_error_holds_up_no_thread)
{
	pthread_t threads[2];

	standard_fill(&err);
	start();
	ck_assert_int_eq(pthread_create(&threads[0], NULL, log_lines, (void *)"first"), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, log_lines, (void *)"second"), 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);

	standard_drain(&err);
	ck_assert_uint_gt(read_lines(), 0);
	log_info("and on");
	check_line(&err, "vduse-blk: and on");
	stop();
}
END_TEST

START_TEST(full_standard_error_does_not_keep_the_process)
{
	standard_fill(&err);
	start();
	log_info("nobody reads this");
	logger_stop(time_now_ns());
	log_info("nor this"); /* to write it would block */
	standard_drain(&err);
	check_line(&err, "vduse-blk: nobody reads this");
}
END_TEST

static bool readable(const struct standard *s)
{
	struct pollfd ready = { .fd = s->reader, .events = POLLIN };

	return poll(&ready, 1, 0) == 1;
}

START_TEST(full_standard_output_holds_up_nobody)
{
	unsigned int arrived = 0, dropped = 0, number;
	char line[256];

	standard_fill(&out);
	start();
	for (unsigned int i = 0; i < LINES; i++)
		logger_output("disk%u /dev/vdb\n", i);
	log_info("lines go on");
	check_line(&err, "vduse-blk: lines go on");

	standard_drain(&out);
	while (arrived + dropped < LINES) {
		if (readable(&out)) {
			standard_line(&out, line);
			ck_assert_int_eq(sscanf(line, "disk%u /dev/vdb", &number), 1);
			ck_assert_uint_ge(number, arrived++);
		}
		if (readable(&err)) {
			standard_line(&err, line);
			ck_assert_int_eq(sscanf(line,
						"vduse-blk: warning: %u lines for standard output "
						"were dropped: its reader was stuck",
						&dropped),
					 1);
		}
	}
	ck_assert_uint_eq(arrived + dropped, LINES);
	ck_assert_uint_gt(arrived, 0);
	ck_assert_uint_gt(dropped, 0);
	stop();
}
END_TEST

/* Somebody else that has the same file may have made it so. */
START_TEST(non_blocking_standard_error_is_waited_for)
{
	standard_fill(&err);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	start();
	log_info("late");
	standard_drain(&err);
	check_line(&err, "vduse-blk: late");
	stop();
}
END_TEST

START_TEST(closed_standard_error_is_survived)
{
	start();
	close(err.reader);
	log_info("for nobody");
	stop();
	err.reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
}
END_TEST

/* ---- the service manager ---- */

#ifdef HAVE_LIBSYSTEMD

START_TEST(service_manager_hears_of_the_disks_after_they_are_printed)
{
	int manager = manager_listen();
	char want[64];

	start();
	logger_output("disk0 /dev/vdb\n");
	notify_ready(1);
	manager_expect(manager, "READY=1\nSTATUS=Serving 1 devices");
	ck_assert_int_eq(fcntl(out.reader, F_SETFL, O_NONBLOCK), 0);
	check_line(&out, "disk0 /dev/vdb");
	notify_stopping();
	manager_expect(manager, "STOPPING=1\n");
	snprintf(want, sizeof(want), "MAINPID=%d\n", (int)getpid());
	notify_main_pid();
	ck_assert_int_eq(fcntl(manager, F_SETFL, O_NONBLOCK), 0);
	manager_expect(manager, want); /* it is there when notify_main_pid() returns */
	notify_flush(FAR_AWAY_NS);
	stop();
	close(manager);
}
END_TEST

START_TEST(full_standard_output_does_not_hold_back_readiness)
{
	int manager = manager_listen();

	standard_fill(&out);
	start();
	logger_output("disk0 /dev/vdb\n");
	notify_ready(1);
	manager_expect(manager, "READY=1\n");
	standard_drain(&out);
	check_line(&out, "disk0 /dev/vdb");
	stop();
	close(manager);
}
END_TEST

START_TEST(service_manager_that_is_stuck_holds_up_nobody)
{
	int manager = manager_listen();

	start();
	for (unsigned int i = 0; i < LINES; i++)
		notify_stopping();
	notify_flush(time_now_ns());
	close(manager);
	notify_flush(FAR_AWAY_NS);
	stop();
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("logger");
	TCase *tc = suite_case(suite, "logger", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, lines_look_the_same_before_while_and_after_disks_are_served);
	tcase_add_test(tc, lines_for_the_journal_have_priorities);
	tcase_add_test(tc, output_is_written);
	tcase_add_test(tc, full_standard_error_holds_up_no_thread);
	tcase_add_test(tc, full_standard_error_does_not_keep_the_process);
	tcase_add_test(tc, full_standard_output_holds_up_nobody);
	tcase_add_test(tc, non_blocking_standard_error_is_waited_for);
	tcase_add_test(tc, closed_standard_error_is_survived);
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_hears_of_the_disks_after_they_are_printed);
	tcase_add_test(tc, full_standard_output_does_not_hold_back_readiness);
	tcase_add_test(tc, service_manager_that_is_stuck_holds_up_nobody);
#endif
	return suite_run(suite);
}
