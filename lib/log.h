/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of the library and the daemon.
 *
 * The library never prints by itself: lines go to one callback, by default to none. One line per
 * failure, written at the lowest place that knows the object's name.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/**
 * typedef log_fn - takes one finished line
 * @level: how bad
 * @text:  the line, no newline at its end; gone after the call
 *
 * May be called from any thread at the same time as from any other. Must not log.
 */
typedef void (*log_fn)(enum log_level level, const char *text);

/**
 * log_init() - say where lines go; call once, before any thread is started
 * @fn:  callback, or NULL for silence
 * @max: lines above this level are dropped before they are formatted
 */
void log_init(log_fn fn, enum log_level max);

/** log_print() - format one line and hand it to the callback; errno is kept */
void log_print(enum log_level level, const char *fmt, ...) __printf(2, 3);

#define log_err(...)   log_print(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_print(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)  log_print(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define LOG_CAPTURE_MAX 512

/**
 * log_capture() - from now on this thread's error lines are written to @text instead
 * @text: LOG_CAPTURE_MAX bytes, emptied; several lines are joined with "; ". NULL: no more
 *
 * For an attempt that is repeated: its caller logs what differs from the last time.
 */
void log_capture(char *text);

/**
 * struct log_limit - budget for one kind of line that a driver or a disk can provoke
 *
 * Zero-initialised is ready. Owned by one thread.
 */
struct log_limit {
	uint64_t window_start_ns;
	uint32_t printed;
	uint64_t suppressed;
};

/**
 * log_allow() - may one more line of this kind be written?
 * @limit: the budget: ten lines in ten seconds
 *
 * When a new window opens and lines were held back, their number is logged under @what.
 */
bool log_allow(struct log_limit *limit, const char *what);

/** log_limit_flush() - say now how many lines were held back, if any */
void log_limit_flush(struct log_limit *limit, const char *what);

#endif
