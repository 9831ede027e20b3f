/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs of the native tier end with where something is wrong: a line that says where. */
#ifndef TESTS_NATIVE_NATIVE_H
#define TESTS_NATIVE_NATIVE_H

#include <stdbool.h>

#include "compiler.h"

/* How long the back end may take for anything, on a machine that is busy, with sanitizers. */
#define PATIENCE_MS 60000u

/** fail() - print where the program is and what is wrong, and end it with 1 */
void fail(const char *fmt, ...) __printf(1, 2) __attribute__((noreturn));

/** where() - what fail() puts in front from now on */
void where(const char *fmt, ...) __printf(1, 2);

/** must() - fail() where @err is not 0 */
void must(int err, const char *what);

/** want() - fail() where @cond does not hold */
#define want(cond, ...)                                                                            \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail(__VA_ARGS__);                                                         \
	} while (0)

#endif
