/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads of the test process. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

/** threads_named() - how many threads have a name that matches @pattern (fnmatch(3)) */
unsigned int threads_named(const char *pattern);

/**
 * other_threads_run() - between two looks at what another thread or process does
 *
 * It gives the CPU away for a moment of real time. How long it takes must not matter to the test.
 */
void other_threads_run(void);

#endif
