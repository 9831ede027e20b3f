// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "vduse_dev.h"

/* Bounds for hostile files: iniparser's lookups are linear in the number of keys. */
#define TEXT_MAX    (1024 * 1024)
#define DEVICES_MAX 1024

/* iniparser reads a line and its newline into ASCIILINESZ (1024) bytes. */
#define LINE_LEN_MAX 1022

struct cursor {
	struct config_scan *scan;
	unsigned int line;
	struct config_section *section; /* that keys belong to; NULL: none yet, or a bad one */
	bool section_seen;		/* also a bad one */
};

/* Return: the bytes of the UTF-8 character at @c; 0: it is invalid. @c ends with a null byte. */
static size_t utf8_length(const unsigned char *c)
{
	size_t i, len = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if ((c[0] >= 0x80 && c[0] < 0xc2) || c[0] > 0xf4)
		return 0;
	for (i = 1; i < len; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong, a surrogate, above U+10FFFF */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

/* Removes incomplete characters: messages quote a limited number of bytes. */
static void drop_cut_characters(char *text)
{
	char *to = text;
	size_t len;

	for (const char *from = text; *from; from += MAX(len, 1)) {
		len = utf8_length((const unsigned char *)from);
		memmove(to, from, len);
		to += len;
	}
	*to = '\0';
}

/* Inserts it after the errors of the same line. */
static void error_keep(struct config_scan *scan, unsigned int line, char *text)
{
	struct config_error *at = &scan->kept[scan->errors - 1];

	for (; at > scan->kept && at[-1].line > line; at--)
		at[0] = at[-1];
	*at = (struct config_error){ .line = line, .text = text };
}

void config_error(struct config_scan *scan, unsigned int line, const char *fmt, ...)
{
	char text[900];
	va_list args;

	scan->errors++;
	if (scan->errors > CONFIG_ERRORS_MAX)
		return;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	drop_cut_characters(text);
	error_keep(scan, line, strdup(text));
}

void config_errors_log(const struct config_scan *scan)
{
	for (size_t i = 0; i < MIN(scan->errors, CONFIG_ERRORS_MAX); i++) {
		const struct config_error *error = &scan->kept[i];
		const char *text = error->text ? error->text : "wrong, and no memory to say why";

		if (error->line)
			log_err("%s:%u: %s", scan->file, error->line, text);
		else
			log_err("%s: %s", scan->file, text);
	}
	if (scan->errors > CONFIG_ERRORS_MAX)
		log_err("%s: more errors than these %d are not shown", scan->file,
			CONFIG_ERRORS_MAX);
}

/* Names and paths are written to logs, JSON and terminals: only valid text is accepted. */
static bool scan_bytes(const struct cursor *at, const char *line, size_t len)
{
	const unsigned char *c = (const unsigned char *)line;
	size_t i, step;

	for (i = 0; i < len; i += step) {
		if ((c[i] < ' ' && c[i] != '\t') || c[i] == 0x7f) {
			config_error(at->scan, at->line, "control character 0x%02x", c[i]);
			return false;
		}
		step = utf8_length(c + i);
		if (!step) {
			config_error(at->scan, at->line, "byte 0x%02x is not UTF-8 text", c[i]);
			return false;
		}
	}
	return true;
}

/* Removes blanks at the end. Return: the first byte that is no blank */
static char *trim(char *text)
{
	size_t len = strlen(text);

	while (len && isblank((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text + strspn(text, " \t");
}

static bool section_duplicate(const struct cursor *at, const struct config_section *section)
{
	if (!section->line)
		return false;
	config_error(at->scan, at->line, "a second section [%s]; the first is in line %u",
		     section->name, section->line);
	return true;
}

static bool section_name_check(const struct cursor *at, const char *name)
{
	const char *wrong = vduse_dev_name_check(name);
	size_t i;

	if (wrong) {
		config_error(at->scan, at->line, "\"%.80s\" cannot name a device: it %s", name,
			     wrong);
		return false;
	}
	for (i = 0; i < at->scan->device_count; i++) {
		if (!strcmp(at->scan->devices[i].name, name))
			return !section_duplicate(at, &at->scan->devices[i]);
	}
	if (at->scan->device_count == DEVICES_MAX) {
		config_error(at->scan, at->line, "[%s] is one device too many; at most %d", name,
			     DEVICES_MAX);
		return false;
	}
	return true;
}

static int section_add(struct cursor *at, const char *name)
{
	struct config_section *section = &at->scan->devices[at->scan->device_count];

	section->name = strdup(name);
	if (!section->name)
		return -ENOMEM;
	section->line = at->line;
	at->scan->device_count++;
	at->section = section;
	return 1;
}

/* Return: as scan_line(). The keys of an invalid section are ignored. */
static int scan_section(struct cursor *at, char *line)
{
	char *name = line + 1;
	char *close = strchr(name, ']');
	char *c;

	at->section = NULL;
	at->section_seen = true;
	if (!close || close[1]) {
		config_error(at->scan, at->line,
			     close ? "text after the ']' of a section: \"%.80s\""
				   : "a section without ']': \"%.80s\"",
			     line);
		return 0;
	}
	*close = '\0';
	name = trim(name);
	for (c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);

	if (!strcmp(name, at->scan->global.name)) {
		if (section_duplicate(at, &at->scan->global))
			return 0;
		at->scan->global.line = at->line;
		at->section = &at->scan->global;
		return 1;
	}
	return section_name_check(at, name) ? section_add(at, name) : 0;
}

static void key_unknown(const struct cursor *at, const struct config_table *table, const char *key)
{
	bool global = table == &config_global_keys;
	const struct config_table *other = global ? &config_device_keys : &config_global_keys;
	char keys[512] = "";
	size_t i, len = 0;

	if (config_key_find(other, key) >= 0) {
		config_error(at->scan, at->line, "[%s] %s: this key belongs in %s",
			     at->section->name, key,
			     global ? "the section of a device" : "[global]");
		return;
	}
	for (i = 0; i < table->count && len < sizeof(keys); i++)
		len += (size_t)snprintf(keys + len, sizeof(keys) - len, "%s%s", i ? ", " : "",
					table->keys[i].name);
	config_error(at->scan, at->line, "[%s] \"%.80s\" is not a key; accepted: %s",
		     at->section->name, key, keys);
}

/* Return: as scan_line() */
static int scan_key(struct cursor *at, char *line)
{
	const struct config_table *table;
	char *value = strchr(line, '=');
	const char *key, *wrong;
	int row;

	if (!value || value == line) {
		config_error(at->scan, at->line,
			     "\"%.80s\" is not understood; accepted: KEY = VALUE, [SECTION], or a "
			     "comment after '#' or ';'",
			     line);
		return 0;
	}
	*value++ = '\0';
	key = trim(line);
	if (!at->section) {
		if (!at->section_seen)
			config_error(at->scan, at->line, "\"%.80s\" is before the first [SECTION]",
				     key);
		return 0;
	}
	table = at->section == &at->scan->global ? &config_global_keys : &config_device_keys;
	row = config_key_find(table, key);
	if (row < 0) {
		key_unknown(at, table, key);
		return 0;
	}
	key = table->keys[row].name;
	if (at->section->key_line[row]) {
		config_error(at->scan, at->line, "[%s] a second %s; the first is in line %u",
			     at->section->name, key, at->section->key_line[row]);
		return 0;
	}
	at->section->key_line[row] = at->line;

	value = trim(value);
	wrong = config_value_check(value);
	if (wrong)
		config_error(at->scan, at->line, "[%s] %s: \"%.80s\" %s", at->section->name, key,
			     value, wrong);
	return !wrong;
}

/* Return: 1: iniparser may read the line; 0: it must not; -ENOMEM */
static int scan_line(struct cursor *at, const char *line, size_t len)
{
	char copy[LINE_LEN_MAX + 1];
	char *text;

	if (len > LINE_LEN_MAX) {
		config_error(at->scan, at->line, "%zu bytes in a line; at most %d", len,
			     LINE_LEN_MAX);
		return 0;
	}
	if (len && line[len - 1] == '\r')
		len--;
	if (!scan_bytes(at, line, len))
		return 0;
	memcpy(copy, line, len);
	copy[len] = '\0';
	text = trim(copy);

	/* iniparser would append the next line, even to a comment. */
	if (*text && text[strlen(text) - 1] == '\\') {
		config_error(at->scan, at->line, "a line cannot be continued with a backslash");
		return 0;
	}
	if (!*text || *text == '#' || *text == ';')
		return 1;
	return *text == '[' ? scan_section(at, text) : scan_key(at, text);
}

static int scan_text(struct config_scan *scan)
{
	struct cursor at = { .scan = scan };
	char *line = scan->text;
	char *end = scan->text + scan->text_len;
	char *newline;
	int ret;

	for (; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		at.line++;
		ret = scan_line(&at, line, (size_t)(newline - line));
		if (ret < 0)
			return ret;
		if (!ret)
			memset(line, '\n', (size_t)(newline - line));
		if (!ret && at.section)
			at.section->unclear = true;
	}
	return 0;
}

/* Reads the whole file, and adds a newline at the end if there is none. */
static int text_read(struct config_scan *scan, FILE *from)
{
	size_t len = fread(scan->text, 1, TEXT_MAX + 1, from);
	int err = ferror(from) ? -errno : 0;

	if (err) {
		log_err("%s: %s", scan->file, strerror(-err));
		return err;
	}
	if (len > TEXT_MAX) {
		log_err("%s: more than %d bytes; this is no configuration", scan->file, TEXT_MAX);
		return -EINVAL;
	}
	if (len && scan->text[len - 1] != '\n')
		scan->text[len++] = '\n';
	scan->text_len = len;
	return 0;
}

int config_scan(const char *file, FILE *from, struct config_scan *out)
{
	struct config_scan scan = { .file = file };
	int err = -ENOMEM;

	scan.text = calloc(1, TEXT_MAX + 2); /* read one too many, add a newline */
	scan.devices = calloc(DEVICES_MAX, sizeof(*scan.devices));
	scan.global.name = strdup("global");
	if (!scan.text || !scan.devices || !scan.global.name) {
		log_err("%s: %s", file, strerror(ENOMEM));
		goto free_scan;
	}
	err = text_read(&scan, from);
	if (err)
		goto free_scan;
	err = scan_text(&scan);
	if (err) {
		log_err("%s: %s", file, strerror(-err));
		goto free_scan;
	}
	*out = scan;
	return 0;

free_scan:
	config_scan_exit(&scan);
	return err;
}

void config_scan_exit(struct config_scan *scan)
{
	size_t i;

	for (i = 0; i < scan->device_count; i++)
		free(scan->devices[i].name);
	for (i = 0; i < MIN(scan->errors, CONFIG_ERRORS_MAX); i++)
		free(scan->kept[i].text);
	free(scan->global.name);
	free(scan->devices);
	free(scan->text);
}
