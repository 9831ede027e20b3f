// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_request.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word;
	bool has_names;
} requests[] = {
	[CONTROL_LIST] = { "list", false },	     [CONTROL_STATS] = { "stats", false },
	[CONTROL_JSON] = { "json", false },	     [CONTROL_OWNER] = { "owner", true },
	[CONTROL_TAKE_OVER] = { "take-over", true }, [CONTROL_MAY_LEAVE] = { "may-leave", true },
	[CONTROL_LEAVE] = { "leave", true },	     [CONTROL_RESIZE] = { "resize", true },
};

bool control_request_parse(const char *text, struct control_request *out)
{
	size_t len = strcspn(text, "\n");
	bool has_names = text[len];

	*out = (struct control_request){ .names = text + len + has_names };
	for (enum control_verb verb = CONTROL_LIST; verb < ARRAY_SIZE(requests); verb++)
		if (strlen(requests[verb].word) == len &&
		    !strncmp(requests[verb].word, text, len) &&
		    requests[verb].has_names == has_names)
			out->verb = verb;
	return out->verb != CONTROL_NONE;
}

char *control_request_print(enum control_verb verb, const char *names)
{
	const char *end = requests[verb].has_names ? "\n" : "";
	char *text;

	return asprintf(&text, "%s%s%s", requests[verb].word, end, names) < 0 ? NULL : text;
}

static const char *const owners[] = {
	[CONTROL_OWNER_NONE] = "none",
	[CONTROL_OWNER_HAS] = "has",
	[CONTROL_OWNER_KEEPS] = "keeps",
};

const char *control_owner_name(enum control_owner owner)
{
	return owners[owner];
}

enum control_owner control_owner_parse(const char *word)
{
	for (enum control_owner owner = CONTROL_OWNER_NONE; owner < ARRAY_SIZE(owners); owner++)
		if (!strcmp(owners[owner], word))
			return owner;
	return CONTROL_OWNER_HAS;
}

bool control_next_name(const char **names, char name[CONTROL_NAME_MAX])
{
	size_t len = strcspn(*names, "\n");

	if (!**names)
		return false;
	snprintf(name, CONTROL_NAME_MAX, "%.*s", (int)len, *names);
	*names += len + ((*names)[len] == '\n');
	return true;
}

bool control_names_has(const char *names, const char *name)
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
