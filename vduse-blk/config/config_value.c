// SPDX-License-Identifier: GPL-2.0-or-later
/* The types of values: text to member, member to text. */
#include "config_keys.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_path.h"
#include "json.h"

static const char units[] = "KMGT";

static void member_store(const struct config_key *key, void *member, uint64_t value)
{
	switch (key->width) {
	case sizeof(bool):
		*(bool *)member = value;
		break;
	case sizeof(uint32_t): /* the enums too */
		*(uint32_t *)member = (uint32_t)value;
		break;
	case sizeof(uint64_t):
		*(uint64_t *)member = value;
		break;
	default:
		assert(!"a member of this width");
	}
}

static uint64_t member_load(const struct config_key *key, const void *member)
{
	switch (key->width) {
	case sizeof(bool):
		return *(const bool *)member;
	case sizeof(uint32_t):
		return *(const uint32_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

static int word_parse(const struct config_key *key, const char *text, void *member)
{
	const struct config_word *word;

	for (word = key->words; word && word->text; word++) {
		if (!strcmp(word->text, text)) {
			member_store(key, member, word->value);
			return 0;
		}
	}
	return -EINVAL;
}

static bool number_read(const char *text, bool suffixes, uint64_t *out)
{
	const char *unit;
	char *end;
	unsigned int shift = 0;
	uint64_t n;

	if (!isdigit((unsigned char)*text)) /* strtoull() takes blanks and signs */
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;

	if (suffixes && *end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit)
			return false;
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
	}
	if (*end || n > UINT64_MAX >> shift)
		return false;

	*out = n << shift;
	return true;
}

static int number_parse(const struct config_key *key, const char *text, void *member)
{
	uint64_t n;

	if (!word_parse(key, text, member))
		return 0;
	if (!number_read(text, key->type->suffixes, &n))
		return -EINVAL;
	if (n < key->min || n > key->max || (key->step && n % key->step))
		return -EINVAL;
	if (key->type->power_of_two && (n & (n - 1)))
		return -EINVAL;

	member_store(key, member, n);
	return 0;
}

static void number_print(const struct config_key *key, const void *member, FILE *to)
{
	uint64_t n = member_load(key, member);
	const char *word = config_word_text(key->words, n);
	const char *unit = units;

	if (word) {
		fputs(word, to);
		return;
	}
	if (!key->type->suffixes || !n || n % 1024) {
		fprintf(to, "%" PRIu64, n);
		return;
	}
	for (n /= 1024; n % 1024 == 0 && unit[1]; unit++)
		n /= 1024;
	fprintf(to, "%" PRIu64 "%c", n, *unit);
}

static void number_print_json(const struct config_key *key, const void *member, FILE *to)
{
	uint64_t n = member_load(key, member);
	const char *word = config_word_text(key->words, n);

	if (word)
		json_string(word, to);
	else
		fprintf(to, "%" PRIu64, n);
}

#define RETRY_PREFIX "retry:"

static int retry_parse(const struct config_key *key, const char *text, void *member)
{
	size_t prefix = strlen(RETRY_PREFIX);
	uint64_t n;

	if (!word_parse(key, text, member))
		return 0;
	if (strncmp(text, RETRY_PREFIX, prefix) || !number_read(text + prefix, false, &n))
		return -EINVAL;
	if (n < key->min || n > key->max)
		return -EINVAL;
	member_store(key, member, n);
	return 0;
}

static void retry_text(const struct config_key *key, const void *member, char text[32])
{
	uint64_t n = member_load(key, member);
	const char *word = config_word_text(key->words, n);

	if (word)
		snprintf(text, 32, "%s", word);
	else
		snprintf(text, 32, RETRY_PREFIX "%" PRIu64, n);
}

static void retry_print(const struct config_key *key, const void *member, FILE *to)
{
	char text[32];

	retry_text(key, member, text);
	fputs(text, to);
}

static void retry_print_json(const struct config_key *key, const void *member, FILE *to)
{
	char text[32];

	retry_text(key, member, text);
	json_string(text, to);
}

static void bool_print_json(const struct config_key *key, const void *member, FILE *to)
{
	fputs(member_load(key, member) ? "true" : "false", to);
}

static void switch_print_json(const struct config_key *key, const void *member, FILE *to)
{
	uint64_t value = member_load(key, member);

	if (value == SWITCH_AUTO)
		fputs("\"auto\"", to);
	else
		fputs(value == SWITCH_YES ? "true" : "false", to);
}

static int path_parse(const struct config_key *key, const char *text, void *member)
{
	char **string = member;
	char *path;
	int err = config_path_read(text, &path);

	(void)key;
	if (err)
		return err;
	free(*string);
	*string = path;
	return 0;
}

static int directory_parse(const struct config_key *key, const char *text, void *member)
{
	return text[0] == '/' ? path_parse(key, text, member) : -EINVAL;
}

static int serial_parse(const struct config_key *key, const char *text, void *member)
{
	size_t len = strlen(text);
	const char *c;

	if (!len || len >= key->width)
		return -EINVAL;
	for (c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			return -EINVAL;
	}
	memcpy(member, text, len + 1);
	return 0;
}

/* @text: the text after the opening @quote */
static const char *quoted_check(const char *text, char quote)
{
	const char *close = strchr(text, quote);
	const char *escape = strchr(text, '\\');

	if (!close)
		return "has no closing quote";
	if (escape && escape < close)
		return "has a backslash inside quotes; write it without quotes";
	close++;
	close += strspn(close, " \t");
	if (*close && *close != ';' && *close != '#')
		return "has text after its closing quote";
	return NULL;
}

const char *config_value_check(const char *value)
{
	size_t len = strcspn(value, ";#");

	if (value[0] == '"' || value[0] == '\'')
		return quoted_check(value + 1, value[0]);
	if (value[len] && len && !isblank((unsigned char)value[len - 1]))
		return "has a ';' or '#', which begin a comment; put a blank before it, or quote "
		       "the value";
	while (len && isblank((unsigned char)value[len - 1]))
		len--;
	if (len && value[len - 1] == '\\')
		return "ends in a backslash";
	return NULL;
}

/*
 * A value is written without quotes, in double quotes or in single quotes. A value with a backslash
 * needs no quotes: config_value_check() refused it inside quotes, since iniparser 4.2 reads it as an
 * escape there, and 4.1 does not.
 */
void config_text_print(const char *text, FILE *to)
{
	size_t len = strlen(text);
	bool plain = len && !strpbrk(text, ";#") && !strchr("\"' \t", text[0]) &&
		     !isblank((unsigned char)text[len - 1]);

	if (plain)
		fputs(text, to);
	else
		fprintf(to, strchr(text, '"') ? "'%s'" : "\"%s\"", text);
}

static void path_print(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	config_text_print(*(char *const *)member, to);
}

static void path_print_json(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	json_string(*(char *const *)member, to);
}

static void serial_print(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	config_text_print(member, to);
}

static void serial_print_json(const struct config_key *key, const void *member, FILE *to)
{
	(void)key;
	json_string(member, to);
}

const struct config_type config_type_word = {
	.parse = word_parse,
	.print = number_print,
	.print_json = number_print_json,
};

const struct config_type config_type_bool = {
	.parse = word_parse,
	.print = number_print,
	.print_json = bool_print_json,
};

const struct config_type config_type_switch = {
	.parse = word_parse,
	.print = number_print,
	.print_json = switch_print_json,
};

const struct config_type config_type_count = {
	.parse = number_parse,
	.print = number_print,
	.print_json = number_print_json,
};

const struct config_type config_type_power = {
	.parse = number_parse,
	.print = number_print,
	.print_json = number_print_json,
	.power_of_two = true,
};

const struct config_type config_type_retry = {
	.parse = retry_parse,
	.print = retry_print,
	.print_json = retry_print_json,
};

const struct config_type config_type_size = {
	.parse = number_parse,
	.print = number_print,
	.print_json = number_print_json,
	.suffixes = true,
};

const struct config_type config_type_path = {
	.parse = path_parse,
	.print = path_print,
	.print_json = path_print_json,
};

const struct config_type config_type_directory = {
	.parse = directory_parse,
	.print = path_print,
	.print_json = path_print_json,
};

const struct config_type config_type_serial = {
	.parse = serial_parse,
	.print = serial_print,
	.print_json = serial_print_json,
};
