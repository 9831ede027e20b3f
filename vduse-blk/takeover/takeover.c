// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover.h"

#include <stdio.h>
#include <string.h>

bool takeover_next_name(const char **names, char name[TAKEOVER_NAME_MAX])
{
	size_t len = strcspn(*names, "\n");

	if (!**names)
		return false;
	snprintf(name, TAKEOVER_NAME_MAX, "%.*s", (int)len, *names);
	*names += len + ((*names)[len] == '\n');
	return true;
}

bool takeover_names(const char *names, const char *name)
{
	size_t len = strlen(name);
	const char *line = names;

	while (line) {
		if (!strncmp(line, name, len) && (line[len] == '\n' || !line[len]))
			return true;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

bool takeover_next(const char **text, struct takeover_line *line)
{
	size_t len = strcspn(*text, "\n"), word = strcspn(*text, " \n"), name;

	if (!**text)
		return false;
	name = word < len ? len - word - 1 : 0;
	snprintf(line->word, sizeof(line->word), "%.*s", (int)word, *text);
	snprintf(line->name, sizeof(line->name), "%.*s", (int)name, *text + word + (name > 0));
	*text += len + ((*text)[len] == '\n');
	return true;
}
