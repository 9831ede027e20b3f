// SPDX-License-Identifier: GPL-2.0-or-later
#include "logger.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outbox.h"
#include "time_ns.h"

#define ABORT_WAIT_NS (1000ull * 1000 * 1000)

/* Space for some 2000 log lines, and for the nodes of some 1000 disks. */
#define LOG_QUEUE_SIZE	  (256 * 1024)
#define OUTPUT_QUEUE_SIZE (64 * 1024)

static enum { DIRECT, QUEUED, SILENT } mode; /* where log lines go; atomic */

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = write(fd, text, left);

		if (n >= 0) {
			text += n;
			left -= (size_t)n;
		} else if (errno == EAGAIN) { /* another user of the file made it non-blocking */
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int write_log(const char *line)
{
	return write_all(STDERR_FILENO, line);
}

static int write_output(const char *text)
{
	return write_all(STDOUT_FILENO, text);
}

/* If standard error is the journal, the line begins with its priority, else with a word. */
static void format_line(char line[OUTBOX_TEXT_MAX], enum log_level level, const char *text)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	static const int priorities[] = { 3, 4, 6, 7 };
	const int longest = OUTBOX_TEXT_MAX - 32;

	if (getenv("JOURNAL_STREAM"))
		snprintf(line, OUTBOX_TEXT_MAX, "<%d>%.*s\n", priorities[level], longest, text);
	else
		snprintf(line, OUTBOX_TEXT_MAX, "vduse-blk: %s%.*s\n", words[level], longest, text);
}

static int lost_log(unsigned int count)
{
	char text[128], line[OUTBOX_TEXT_MAX];

	snprintf(text, sizeof(text),
		 "%u log lines were dropped: the reader of standard error was stuck", count);
	format_line(line, LOG_LEVEL_WARNING, text);
	return write_log(line);
}

static int lost_output(unsigned int count)
{
	log_warn("%u lines for standard output were dropped: its reader was stuck", count);
	return 0;
}

static char log_queue[LOG_QUEUE_SIZE], output_queue[OUTPUT_QUEUE_SIZE];

static struct outbox log_box = {
	OUTBOX_INIT,	      .name = "log",	.queue = log_queue, .size = sizeof(log_queue),
	.thread_stays = true, /* an error to be logged may be that threads cannot be started */
	.deliver = write_log, .lost = lost_log,
};

static struct outbox output_box = {
	OUTBOX_INIT,
	.name = "output",
	.queue = output_queue,
	.size = sizeof(output_queue),
	.deliver = write_output,
	.lost = lost_output,
};

void logger_print(enum log_level level, const char *text)
{
	char line[OUTBOX_TEXT_MAX];

	format_line(line, level, text);
	switch (load_relaxed(&mode)) {
	case DIRECT:
		write_log(line);
		break;
	case QUEUED:
		outbox_put(&log_box, line);
		break;
	case SILENT:
		break;
	}
}

int logger_start(void)
{
	int err = outbox_start(&log_box);

	if (err)
		log_err("cannot start the log thread: %s", strerror(-err));
	else
		store_relaxed(&mode, QUEUED);
	return err;
}

void logger_output(const char *fmt, ...)
{
	char text[OUTBOX_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	outbox_put(&output_box, text);
}

void logger_flush_output(uint64_t deadline_ns)
{
	outbox_flush(&output_box, deadline_ns);
}

void logger_stop(uint64_t deadline_ns)
{
	outbox_stop(&output_box, deadline_ns);
	store_relaxed(&mode, outbox_stop(&log_box, deadline_ns) ? SILENT : DIRECT);
}

void logger_abort(void)
{
	outbox_flush(&log_box, time_now_ns() + ABORT_WAIT_NS);
	abort();
}
