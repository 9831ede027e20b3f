/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads of the test process, by name. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

/** threads_named() - how many threads have a name that matches @pattern (fnmatch(3)) */
unsigned int threads_named(const char *pattern);

#endif
