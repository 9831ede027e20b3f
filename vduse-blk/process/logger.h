/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes lines to standard error, and those of "serve" to standard output.
 *
 * The reader of each may be stuck: a full pipe, a log file on a file system that stalls, a journal
 * that was stopped. While the process serves disks, each of the two has a queue of fixed size and a
 * thread (lib/outbox.h), so that no other thread waits. Lines that do not fit are dropped; their
 * number is logged when standard error accepts lines again.
 */
#ifndef VDUSE_BLK_LOGGER_H
#define VDUSE_BLK_LOGGER_H

#include <stdint.h>

#include "compiler.h"
#include "log.h"

/**
 * logger_print() - the log_fn of the program: one line on standard error
 *
 * The line begins with its priority where JOURNAL_STREAM is set, else with the program's name and
 * the level. Before logger_start() the calling thread writes it, and may block.
 */
void logger_print(enum log_level level, const char *text);

/** logger_start() - from now on no caller of logger_print() waits. Return: 0; -errno, logged */
int __must_check logger_start(void);

/** logger_output() - write text to standard output; never waits. Dropped when the queue is full */
void logger_output(const char *fmt, ...) __printf(1, 2);

/**
 * logger_flush_output() - wait until all text is written, until @deadline_ns (time_now_ns()) at
 * most
 */
void logger_flush_output(uint64_t deadline_ns);

/**
 * logger_stop() - undo logger_start(): wait until all lines are written, until @deadline_ns at most
 *
 * No other thread may log any more. Where standard error did not accept all lines, later lines are
 * dropped: a write could block for ever.
 */
void logger_stop(uint64_t deadline_ns);

/** logger_abort() - wait for a second at most until the log is written, then abort() */
void logger_abort(void) __attribute__((noreturn));

#endif
