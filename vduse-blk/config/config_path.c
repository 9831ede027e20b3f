// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scheme {
	const char *name;
	bool has_rest; /* a path follows */
} schemes[] = {
	[SCHEME_FILE] = { "file", true },
	[SCHEME_NULL] = { "null", false },
	[SCHEME_ERROR] = { "error", false },
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
		if (strlen(schemes[i].name) == len && !strncmp(schemes[i].name, text, len))
			return (int)i;
	return -1;
}

/* "file:a:b" -> "./a:b" */
static int file_path_read(const char *text, char **out)
{
	const char *before = scheme_length(text) || text[0] == ':' ? "./" : "";

	if (!text[0])
		return -EINVAL;
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
	if (scheme < 0 || (!schemes[scheme].has_rest && text[len + 1]))
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
	case SCHEME_FILE:
		break;
	}
	return path;
}
