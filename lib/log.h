/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of the library and the daemon.
 *
 * The library never prints: lines go to one callback, by default to none. One line for each
 * failure, written by the lowest function that knows the name of the object.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/**
 * typedef log_fn - writes one line
 * @text: the line, without a newline; valid during the call only
 *
 * Several threads may call it at the same time. Must not log.
 */
typedef void (*log_fn)(enum log_level level, const char *text);

/**
 * log_init() - set the callback; call it once, before any thread is started
 * @fn:  callback; NULL: no lines
 * @max: lines above this level are dropped before they are formatted
 */
void log_init(log_fn fn, enum log_level max);

/** log_print() - format one line and pass it to the callback; errno is unchanged */
void log_print(enum log_level level, const char *fmt, ...) __printf(2, 3);

#define log_err(...)   log_print(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_print(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)  log_print(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define LOG_CAPTURE_MAX 512

/**
 * log_capture() - write the error lines of this thread to @text instead of the log
 * @text: LOG_CAPTURE_MAX bytes, set to ""; several lines are joined with "; ". NULL: end of capture
 *
 * For attempts that are repeated: the caller logs the text only if it has changed.
 */
void log_capture(char *text);

/**
 * struct log_limit - rate limit for one kind of line that a driver or a disk can cause
 *
 * Zeroed is ready. Used by one thread.
 */
struct log_limit {
	uint64_t window_start_ns;
	uint32_t printed;
	uint64_t suppressed;
	bool info; /* set by the caller: the lines are information, and so is their number */
};

/**
 * log_allow() - may one more line of this kind be written?
 * @limit: ten lines in ten seconds
 * @what:  name of the disk. After ten seconds, the number of suppressed lines is logged with it
 */
bool log_allow(struct log_limit *limit, const char *what);

/** log_limit_flush() - log the number of suppressed lines now, if any */
void log_limit_flush(struct log_limit *limit, const char *what);

#endif
