// SPDX-License-Identifier: GPL-2.0-or-later
#include "native.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char current[128] = "start";

void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	flockfile(stdout);
	printf("FAIL: %s: ", current);
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	_exit(1);
}

void where(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(current, sizeof(current), fmt, args);
	va_end(args);
}

void must(int err, const char *what)
{
	if (err)
		fail("%s: %s", what, strerror(-err));
}
