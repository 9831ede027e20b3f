// SPDX-License-Identifier: GPL-2.0-or-later
#include "json.h"

void json_string(const char *text, FILE *to)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(to, "\\u%04x", (unsigned int)(unsigned char)*text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}
