// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/show.c: the table that list prints, and what it prints of several servers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control_fixture.h"
#include "show.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

static const struct {
	const char *lines, *table;
} tables[] = {
	{ "", "" },
	{ "a /dev/vdb virtio_vdpa attached 67108864 /x\n",
	  "NAME  NODE      DRIVER       STATE     SIZE  PATH\n"
	  "a     /dev/vdb  virtio_vdpa  attached  64M   /x\n" },
	{ "disk-0 - vhost_vdpa opening 0 /a b c\nb /dev/vhost-vdpa-0 vhost_vdpa in-use 1610612736 /y\n",
	  "NAME    NODE               DRIVER      STATE    SIZE  PATH\n"
	  "disk-0  -                  vhost_vdpa  opening  0     /a b c\n"
	  "b       /dev/vhost-vdpa-0  vhost_vdpa  in-use   1.5G  /y\n" },
	{ "a - d s 512 /x", "NAME  NODE  DRIVER  STATE  SIZE  PATH\n"
			    "a     -     d       s      512   /x\n" },
	/* Of a server of another version. */
	{ "what is this\na - d s 1024 /x\n", "what is this\n"
					     "NAME  NODE  DRIVER  STATE  SIZE  PATH\n"
					     "a     -     d       s      1K    /x\n" },
	{ "a - d s many /x\n", "NAME  NODE  DRIVER  STATE  SIZE  PATH\n"
			       "a     -     d       s      many  /x\n" },
};

static char *print_table(const char *lines)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	ck_assert_int_eq(show_table(lines, to), 0);
	fclose(to);
	return text;
}

START_TEST(table_has_a_header_and_columns)
{
	char *text = print_table(tables[_i].lines);

	ck_assert_str_eq(text, tables[_i].table);
	free(text);
}
END_TEST

static const struct {
	const char *bytes, *size;
} sizes[] = {
	{ "0", "0" },
	{ "1023", "1023" },
	{ "1024", "1K" },
	{ "1536", "1.5K" },
	{ "1048064", "1023.5K" },
	{ "1048576", "1M" },
	{ "1049088", "1.0M" }, /* not quite 1M */
	{ "10737418240", "10G" },
	{ "8796093022208", "8T" },
	{ "9223372036854775807", "7.9E" },
	{ "18446744073709551615", "15.9E" },
};

START_TEST(size_has_a_unit)
{
	char line[64], want[128];
	char *text;

	snprintf(line, sizeof(line), "a - d s %s /x\n", sizes[_i].bytes);
	snprintf(want, sizeof(want), "%-*s  /x\n", (int)MAX(strlen(sizes[_i].size), 4),
		 sizes[_i].size);
	text = print_table(line);
	ck_assert_msg(strstr(text, want) != NULL, "%s: %s", want, text);
	free(text);
}
END_TEST

/* ---- a server ---- */

static bool is_wrong;

static bool respond(struct control *control, const char *question, FILE *to)
{
	(void)control;
	if (!strcmp(question, "list"))
		fputs("a - d s 512 /x\n", to);
	else
		fputs(question, to);
	return !is_wrong;
}

static void setup(void)
{
	test_log_begin();
	is_wrong = false;
	temp_dir_make();
}

static void teardown(void)
{
	temp_dir_remove();
	test_log_end();
}

/* Return: what show() printed on standard output */
static const char *shown(enum control_verb verb, enum exit_status status)
{
	static char text[512];
	FILE *file = tmpfile();
	int out = dup(STDOUT_FILENO);
	size_t len;

	fflush(stdout);
	ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
	ck_assert_int_eq(show(temp_dir, verb), status);
	fflush(stdout);
	ck_assert_int_ge(dup2(out, STDOUT_FILENO), 0);
	close(out);
	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	fclose(file);
	return text;
}

START_TEST(responses_are_printed)
{
	control_fixture_start(temp_dir, respond);
	ck_assert_str_eq(shown(CONTROL_LIST, EXIT_OK), "NAME  NODE  DRIVER  STATE  SIZE  PATH\n"
						       "a     -     d       s      512   /x\n");
	ck_assert_str_eq(shown(CONTROL_STATS, EXIT_OK), "stats");
	ck_assert_str_eq(shown(CONTROL_JSON, EXIT_OK), "[json]\n");
	is_wrong = true;
	test_log_expect(LOG_LEVEL_ERROR, "the server with process id");
	ck_assert_str_eq(shown(CONTROL_JSON, EXIT_RUNTIME), "[]\n");
	control_fixture_end();
}
END_TEST

START_TEST(no_server_is_an_empty_list)
{
	test_log_allow(LOG_LEVEL_WARNING, "is not served"); /* devices of this machine */
	ck_assert_str_eq(shown(CONTROL_LIST, EXIT_OK), "");
	ck_assert_str_eq(shown(CONTROL_JSON, EXIT_OK), "[]\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("show");
	TCase *tc = suite_case(suite, "table", test_log_begin, test_log_end);

	tcase_add_loop_test(tc, table_has_a_header_and_columns, 0, ARRAY_SIZE(tables));
	tcase_add_loop_test(tc, size_has_a_unit, 0, ARRAY_SIZE(sizes));
	tc = suite_case(suite, "servers", setup, teardown);
	tcase_add_test(tc, responses_are_printed);
	tcase_add_test(tc, no_server_is_an_empty_list);
	return suite_run(suite);
}
