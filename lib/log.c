// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "time_ns.h"

#define LIMIT_LINES	10
#define LIMIT_WINDOW_NS (10ull * 1000 * 1000 * 1000)

static log_fn sink;
static enum log_level max_level;
static __thread char *captured;

void log_init(log_fn fn, enum log_level max)
{
	sink = fn;
	max_level = max;
}

void log_capture(char *text)
{
	captured = text;
	if (text)
		text[0] = '\0';
}

static void capture(const char *line)
{
	size_t len = strlen(captured);

	snprintf(captured + len, LOG_CAPTURE_MAX - len, "%s%s", len ? "; " : "", line);
}

void log_print(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[1024];
	va_list args;

	if (!sink || level > max_level)
		return;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (captured && level == LOG_LEVEL_ERROR)
		capture(line);
	else
		sink(level, line);
	errno = saved_errno;
}

void log_limit_flush(struct log_limit *limit, const char *what)
{
	if (limit->suppressed)
		log_print(limit->info ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			  "%s: %" PRIu64 " more lines like this were suppressed", what,
			  limit->suppressed);
	limit->suppressed = 0;
}

bool log_allow(struct log_limit *limit, const char *what)
{
	uint64_t now_ns = time_now_ns();

	if (!limit->window_start_ns || now_ns - limit->window_start_ns > LIMIT_WINDOW_NS) {
		log_limit_flush(limit, what);
		*limit = (struct log_limit){ .window_start_ns = now_ns, .info = limit->info };
	}
	if (limit->printed == LIMIT_LINES) {
		limit->suppressed++;
		return false;
	}
	limit->printed++;
	return true;
}
