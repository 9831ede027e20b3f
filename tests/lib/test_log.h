/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log capture for unit tests: a warning or an error that the test did not announce fails it, and
 * so does an announced line that never came. Use as a checked fixture of every test case.
 */
#ifndef TESTS_TEST_LOG_H
#define TESTS_TEST_LOG_H

#include <stdbool.h>

#include "log.h"

/** test_log_begin() - take over the log; fixture set-up */
void test_log_begin(void);

/** test_log_end() - judge what was logged; fixture tear-down. Fails the test, on its own thread */
void test_log_end(void);

/** test_log_expect() - one line at @level that contains @part will come; each call stands for one */
void test_log_expect(enum log_level level, const char *part);

/** test_log_allow() - any number of lines at @level that contain @part may come, or none */
void test_log_allow(enum log_level level, const char *part);

/** test_log_mute() - what comes from now on, until the opposite is said, never came */
void test_log_mute(bool mute);

/** test_log_count() - how many lines that contain @part came so far, at any level */
unsigned int test_log_count(const char *part);

#endif
