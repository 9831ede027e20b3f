// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tests/lib/ speaks to libcheck, which wants a test runner around it. Here a failed ck_assert() is
 * a crash, and a good one costs nothing.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: %s: ", file, line, expr);
	va_start(args, msg);
	if (msg)
		vfprintf(stderr, msg, args);
	va_end(args);
	abort();
}
