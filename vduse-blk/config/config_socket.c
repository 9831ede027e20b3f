// SPDX-License-Identifier: GPL-2.0-or-later
/* Values of the keys socket, socket_group and socket_mode. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_keys.h"
#include "json.h"

#define AUTO "auto" /* is the empty text in struct device_config */

static int text_parse(const struct config_key *key, const char *text, void *member)
{
	size_t len = strlen(text);

	if (!strcmp(text, AUTO)) {
		*(char *)member = '\0';
		return 0;
	}
	if (!len || len >= key->width)
		return -EINVAL;
	memcpy(member, text, len + 1);
	return 0;
}

static int socket_parse(const struct config_key *key, const char *text, void *member)
{
	if (text[0] != '/' && strcmp(text, AUTO))
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c == '\x7f') /* "list" has columns */
			return -EINVAL;
	return text_parse(key, text, member);
}

static void text_print(const struct config_key *key, const void *member, FILE *to)
{
	const char *text = member;

	(void)key;
	config_text_print(*text ? text : AUTO, to);
}

static void text_print_json(const struct config_key *key, const void *member, FILE *to)
{
	const char *text = member;

	(void)key;
	json_string(*text ? text : AUTO, to);
}

static int mode_parse(const struct config_key *key, const char *text, void *member)
{
	unsigned long mode;
	char *end;

	(void)key;
	if (*text < '0' || *text > '7')
		return -EINVAL;
	mode = strtoul(text, &end, 8);
	if (*end || mode > 0777)
		return -EINVAL;
	*(uint32_t *)member = (uint32_t)mode;
	return 0;
}

static void mode_print(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	fprintf(to, "%04o", *(const uint32_t *)member);
}

static void mode_print_json(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	fprintf(to, "\"%04o\"", *(const uint32_t *)member);
}

const struct config_type config_type_socket = {
	.parse = socket_parse,
	.print = text_print,
	.print_json = text_print_json,
};

const struct config_type config_type_group = {
	.parse = text_parse,
	.print = text_print,
	.print_json = text_print_json,
};

const struct config_type config_type_mode = {
	.parse = mode_parse,
	.print = mode_print,
	.print_json = mode_print_json,
};
