// SPDX-License-Identifier: GPL-2.0-or-later
#include "show.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "control/control_ask.h"
#include "log.h"
#include "vduse_dev.h"

/* ---- the table ---- */

enum { NAME, NODE, DRIVER, STATE, SIZE, PATH, COLUMNS };

static const char header[] = "NAME NODE DRIVER STATE SIZE PATH";

struct row {
	char *text; /* @columns point into it */
	const char *columns[COLUMNS];
	char size[BYTES_TEXT_MAX];
};

/* Return: false: a column is missing */
static bool parse_row(struct row *row)
{
	char *at = row->text, *end;
	uint64_t bytes;

	for (unsigned int i = 0; i < PATH; i++) {
		end = strchr(at, ' ');
		if (!end)
			return false;
		*end = '\0';
		row->columns[i] = at;
		at = end + 1;
	}
	row->columns[PATH] = at;
	bytes = strtoull(row->columns[SIZE], &end, 10);
	if (end == row->columns[SIZE] || *end)
		return true; /* the header */
	row->columns[SIZE] = bytes_print(bytes, row->size);
	return true;
}

static void print_row(const struct row *row, const size_t widths[COLUMNS], FILE *to)
{
	for (unsigned int i = 0; i < PATH; i++)
		fprintf(to, "%-*s  ", (int)widths[i], row->columns[i]);
	fprintf(to, "%s\n", row->columns[PATH]);
}

/* @lines begins with the header. Return: how many rows there are; -ENOMEM */
static int split(const char *lines, struct row *rows)
{
	int count = 0;

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		rows[count].text = strndup(lines, len);
		if (!rows[count].text)
			return -ENOMEM;
		count++;
		lines += len + (lines[len] == '\n');
	}
	return count;
}

static void print_rows(struct row *rows, int count, FILE *to)
{
	size_t widths[COLUMNS] = { 0 };

	for (int i = 0; i < count; i++) {
		char *line = strdup(rows[i].text);

		if (line && parse_row(&rows[i])) {
			for (unsigned int c = 0; c < COLUMNS; c++)
				widths[c] = MAX(widths[c], strlen(rows[i].columns[c]));
		} else {
			fprintf(to, "%s\n", line ? line : rows[i].text);
			rows[i].columns[PATH] = NULL;
		}
		free(line);
	}
	for (int i = 0; i < count; i++)
		if (rows[i].columns[PATH])
			print_row(&rows[i], widths, to);
}

int show_table(const char *lines, FILE *to)
{
	struct row *rows;
	size_t max = 2;
	char *all;
	int count = -ENOMEM;

	if (!*lines)
		return 0;
	for (const char *at = lines; *at; at++)
		max += *at == '\n';
	rows = calloc(max, sizeof(*rows));
	if (rows && asprintf(&all, "%s\n%s", header, lines) >= 0) {
		count = split(all, rows);
		print_rows(rows, count, to);
		free(all);
	}
	for (size_t i = 0; rows && i < max; i++)
		free(rows[i].text);
	free(rows);
	return count < 0 ? count : 0;
}

/* ---- the servers ---- */

struct responses {
	FILE *to; /* for the texts of all responses */
	enum control_verb verb;
	bool failed;
	unsigned int count;
};

static void take_response(const struct control_response *response, void *ctx)
{
	char who[CONTROL_PEER_NAME_MAX];
	struct responses *responses = ctx;

	if (response->unknown) {
		log_err("%s does not know this request: its version is earlier",
			control_peer_name(response->from->pid, who));
		responses->failed = true;
	} else if (response->error) {
		log_err("%s refuses: %s", control_peer_name(response->from->pid, who),
			response->text);
		responses->failed = true;
	} else if (response->text[0]) {
		if (responses->verb == CONTROL_JSON && responses->count)
			fputs(",\n", responses->to);
		fputs(response->text, responses->to);
		responses->count++;
	}
}

/* The requests of a disk wait when its server was killed. */
static void log_unserved(void)
{
	DIR *dir = opendir("/sys/class/vduse");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "control") &&
		    vduse_dev_is_served(entry->d_name) == 0)
			log_warn("%s is not served: its requests wait; see vduse-blk gc --dry-run",
				 entry->d_name);
	if (dir)
		closedir(dir);
}

/* Return: 0; -ENOMEM */
static int print_responses(enum control_verb verb, const char *text)
{
	switch (verb) {
	case CONTROL_LIST:
		return show_table(text, stdout);
	case CONTROL_JSON:
		printf("[%s]\n", text);
		return 0;
	default:
		fputs(text, stdout);
		return 0;
	}
}

enum exit_status show(const char *runtime_dir, enum control_verb verb)
{
	struct responses responses = { .verb = verb };
	char *text = NULL;
	size_t len;
	int count, err;

	responses.to = open_memstream(&text, &len);
	if (!responses.to)
		return EXIT_RUNTIME;
	count = control_ask(runtime_dir, verb, "", take_response, &responses);
	err = fclose(responses.to) ? -ENOMEM : print_responses(verb, text);
	if (err)
		log_err("out of memory");
	free(text);
	if (!count)
		log_unserved();
	return err || count < 0 || responses.failed ? EXIT_RUNTIME : EXIT_OK;
}

enum exit_status show_resize(const char *runtime_dir, const char *name)
{
	struct responses responses = { .to = stdout, .verb = CONTROL_RESIZE };
	int count = control_ask(runtime_dir, CONTROL_RESIZE, name, take_response, &responses);

	if (count >= 0 && !responses.count && !responses.failed)
		log_err("no running server has a disk %s", name);
	return count < 0 || responses.failed || !responses.count ? EXIT_RUNTIME : EXIT_OK;
}
