/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the process writes its lines: standard error, and standard output of serve.
 *
 * The reader of either may be stuck: a pipe that is full, a log file on a file system that hangs, a
 * journal that was stopped. While the process serves disks, lines go through a queue of fixed size
 * and a thread for each of the two (lib/outbox.h), so that no other thread waits. Lines for which
 * there is no room are lost; their number is logged when standard error takes lines again.
 */
#ifndef VDUSE_BLK_LOGGER_H
#define VDUSE_BLK_LOGGER_H

#include <stdint.h>

#include "compiler.h"
#include "log.h"

/**
 * logger_print() - the log_fn of the program: one line on standard error
 *
 * With its priority in front where JOURNAL_STREAM is set, else with the name of the program and a
 * word. Before logger_start() it writes on the calling thread and may block.
 */
void logger_print(enum log_level level, const char *text);

/** logger_start() - from now on no caller of logger_print() waits. Return: 0; -errno, logged */
int __must_check logger_start(void);

/** logger_output() - text for standard output; does not wait. Lost where its reader is stuck */
void logger_output(const char *fmt, ...) __printf(1, 2);

/**
 * logger_flush_output() - wait until standard output has all of it; @deadline_ns: by time_now_ns()
 */
void logger_flush_output(uint64_t deadline_ns);

/**
 * logger_stop() - the end of logger_start(): wait until all lines are written, until @deadline_ns
 *
 * No other thread may log any more. Where standard error did not take all lines, later ones are
 * lost without a word: to write them could block for ever.
 */
void logger_stop(uint64_t deadline_ns);

/** logger_abort() - wait for a second until the log is written, then abort() */
void logger_abort(void) __attribute__((noreturn));

#endif
