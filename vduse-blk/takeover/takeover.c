// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover.h"

#include <stdio.h>
#include <string.h>

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
