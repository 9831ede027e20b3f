// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_MS 3600000u /* an hour */

static const struct option {
	const char *name;
	size_t offset; /* in struct fault_options */
	uint32_t max;  /* of a number; 0: the value is a path */
} options[] = {
	{ "delay_ms", offsetof(struct fault_options, delay_ms), DELAY_MAX_MS },
	{ "fail_read", offsetof(struct fault_options, fail_read), UINT32_MAX },
	{ "fail_write", offsetof(struct fault_options, fail_write), UINT32_MAX },
	{ "fail_flush", offsetof(struct fault_options, fail_flush), UINT32_MAX },
	{ "lose_write", offsetof(struct fault_options, lose_write), UINT32_MAX },
	{ "hold_while", offsetof(struct fault_options, hold_while), 0 },
	{ "fail_while", offsetof(struct fault_options, fail_while), 0 },
};

static const struct option *option_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == len && !strncmp(options[i].name, name, len))
			return &options[i];
	return NULL;
}

/* Return: 0; -EINVAL: it is no number from 1 to @max */
static int number_read(const char *text, size_t len, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;

	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -EINVAL;
		n = n * 10 + (uint64_t)(text[i] - '0');
		if (n > max)
			return -EINVAL;
	}
	*out = (uint32_t)n;
	return n ? 0 : -EINVAL;
}

/* One option, of @len bytes. Return: 0; -EINVAL */
static int option_parse(const char *text, size_t len, struct fault_options *out)
{
	const char *equals = memchr(text, '=', len);
	const struct option *option;
	void *member;
	size_t rest;

	if (!equals)
		return -EINVAL;
	option = option_find(text, (size_t)(equals - text));
	if (!option)
		return -EINVAL;
	member = (char *)out + option->offset;
	rest = len - (size_t)(equals + 1 - text);
	if (option->max)
		return number_read(equals + 1, rest, option->max, member);
	if (!rest || rest >= FAULT_PATH_MAX)
		return -EINVAL;
	memcpy(member, equals + 1, rest);
	return 0;
}

int fault_options_parse(const char *path, struct fault_options *out, char why[FAULT_WHY_MAX])
{
	struct fault_options parsed = { 0 };
	const char *at = strchr(path, ':');
	size_t len;

	do {
		at++;
		len = strcspn(at, ",:");
		if (option_parse(at, len, &parsed)) {
			snprintf(why, FAULT_WHY_MAX,
				 "\"%.*s\" is no fault; accepted: delay_ms=N with 1 to %u, "
				 "fail_read=N, fail_write=N, fail_flush=N, lose_write=N, "
				 "hold_while=PATH and fail_while=PATH, separated by commas",
				 (int)MIN(len, 80ul), at, DELAY_MAX_MS);
			return -EINVAL;
		}
		at += len;
	} while (*at == ',');
	*out = parsed;
	return 0;
}
