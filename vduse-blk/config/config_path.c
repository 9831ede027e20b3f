// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const schemes[] = {
	[SCHEME_FILE] = "file",
	[SCHEME_NULL] = "null",
	[SCHEME_ERROR] = "error",
	[SCHEME_FAULT] = "fault",
};

/* Return: bytes before the colon; 0: @text has no scheme */
static size_t scheme_length(const char *text)
{
	size_t len = strcspn(text, ":/");

	return text[0] == '.' || text[len] != ':' ? 0 : len;
}

/* @len: of a scheme. Return: -1: there is no such scheme */
static int scheme_find(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i]) == len && !strncmp(schemes[i], text, len))
			return (int)i;
	return -1;
}

/* @rest: the text after the colon */
static bool rest_is_right(enum config_scheme scheme, const char *rest)
{
	const char *colon;

	switch (scheme) {
	case SCHEME_NULL:
	case SCHEME_ERROR:
		return !rest[0];
	case SCHEME_FAULT:
		colon = strchr(rest, ':');
		return colon && colon[1];
	case SCHEME_FILE:
		break;
	}
	return rest[0];
}

/* "file:a:b" -> "./a:b" */
static int file_path_read(const char *text, char **out)
{
	const char *before = scheme_length(text) || text[0] == ':' ? "./" : "";

	return asprintf(out, "%s%s", before, text) < 0 ? -ENOMEM : 0;
}

int config_path_read(const char *text, char **out)
{
	size_t len = scheme_length(text);
	char *copy = NULL;
	int scheme, err;

	if (!text[0] || text[0] == ':')
		return -EINVAL;
	scheme = len ? scheme_find(text, len) : SCHEME_FILE;
	if (scheme < 0 || (len && !rest_is_right((enum config_scheme)scheme, text + len + 1)))
		return -EINVAL;
	if (scheme == SCHEME_FILE && len) {
		err = file_path_read(text + len + 1, &copy);
	} else {
		copy = strdup(text);
		err = copy ? 0 : -ENOMEM;
	}
	if (!err)
		*out = copy;
	return err;
}

enum config_scheme config_path_scheme(const char *path)
{
	size_t len = scheme_length(path);
	int scheme = len ? scheme_find(path, len) : SCHEME_FILE;

	return scheme < 0 ? SCHEME_FILE : (enum config_scheme)scheme;
}

const char *config_path_file(const char *path)
{
	switch (config_path_scheme(path)) {
	case SCHEME_NULL:
	case SCHEME_ERROR:
		return NULL;
	case SCHEME_FAULT:
		return strchr(path + strlen("fault:"), ':') + 1;
	case SCHEME_FILE:
		break;
	}
	return path;
}
