/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Test cases, and main(), of every test binary. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>

/**
 * suite_case() - a test case with a checked fixture
 *
 * Ten minutes for each test: the limit ends a test that hangs, and must not end a slow one.
 */
TCase *suite_case(Suite *suite, const char *name, void (*setup)(void), void (*teardown)(void));

/**
 * turn_until() - do @turn until @cond holds
 *
 * It has no time limit: when @cond never holds, the test ends by that of suite_case(), and check names
 * this line.
 */
#define turn_until(cond, turn)                                                                     \
	do {                                                                                       \
		mark_point();                                                                      \
		while (!(cond))                                                                    \
			turn;                                                                      \
	} while (0)

/**
 * suite_run() - run and free it. Return: the exit status of main()
 *
 * With UNIT_STOP in the environment the process ends at the first test that fails.
 */
int suite_run(Suite *suite);

#endif
