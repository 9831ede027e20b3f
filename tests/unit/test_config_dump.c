// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/config*.c: what is written is what was understood. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "suite.h"
#include "test_log.h"

START_TEST(dump_of_every_good_value_is_read_back)
{
	const struct cfg_good *good = &cfg_good_values[_i];

	cfg_load_key(good->section, good->key, good->text, 0);
	cfg_round_trip();
}
END_TEST

START_TEST(dump_of_every_path_is_read_back)
{
	cfg_load_key("vdb", "path", cfg_paths[_i].text, 0);
	cfg_round_trip();
}
END_TEST

START_TEST(dump_shows_every_key_with_its_effective_value)
{
	char *text;

	ck_assert_int_eq(cfg_load("[a.name-that-is-longer-than-a-serial]\npath = '/a b '\n"
				  "driver = vhost-vdpa\nreadonly = on\numem = no\ndiscard = 0\n"
				  "pin_guest_memory = yes\n"
				  "offset = 1049088\nsize = 3145728K\npoll_us = 50\n"),
			 0);
	text = cfg_dumped(config_dump);
	ck_assert_str_eq(text, "[global]\n"
			       "log_level = info\n"
			       "runtime_dir = /run/vduse-blk\n"
			       "workers = auto\n"
			       "\n"
			       "[a.name-that-is-longer-than-a-serial]\n"
			       "path = \"/a b \"\n"
			       "driver = vhost-vdpa\n"
			       "readonly = yes\n"
			       "cache = auto\n"
			       "queues = auto\n"
			       "queue_size = auto\n"
			       "indirect_descriptors = auto\n"
			       "logical_block_size = auto\n"
			       "discard = no\n"
			       "write_zeroes = auto\n"
			       "on_error = report\n"
			       "serial = a.name-that-a609d953\n"
			       "poll_us = 50\n"
			       "iopoll = no\n"
			       "umem = off\n"
			       "pin_guest_memory = yes\n"
			       "bounce_size = auto\n"
			       "offset = 1049088\n"
			       "size = 3G\n"
			       "socket = auto\n"
			       "socket_mode = 0660\n"
			       "socket_group = auto\n");
	free(text);
	cfg_round_trip();
}
END_TEST

START_TEST(json_has_numbers_and_escaped_strings)
{
	char *text;

	ck_assert_int_eq(
		cfg_load(
			"[global]\nworkers = 2\n[a]\npath = '/\"\xc3\xbc'\nserial = x\\y\n"
			"offset = 1K\nsize = 8388606T\nreadonly = yes\ndiscard = no\n"
			"[b]\npath = b\tc\numem = on\nbounce_size = 1M\npoll_us = 0\niopoll = yes\n"
			"write_zeroes = yes\nqueues = 2\n"),
		0);
	text = cfg_dumped(config_dump_json);
	ck_assert_str_eq(text, "{\n"
			       "  \"global\": {\n"
			       "    \"log_level\": \"info\",\n"
			       "    \"runtime_dir\": \"/run/vduse-blk\",\n"
			       "    \"workers\": 2\n"
			       "  },\n"
			       "  \"devices\": [\n"
			       "    {\n"
			       "      \"name\": \"a\",\n"
			       "      \"path\": \"/\\\"\xc3\xbc\",\n"
			       "      \"driver\": \"virtio-vdpa\",\n"
			       "      \"readonly\": true,\n"
			       "      \"cache\": \"auto\",\n"
			       "      \"queues\": \"auto\",\n"
			       "      \"queue_size\": \"auto\",\n"
			       "      \"indirect_descriptors\": \"auto\",\n"
			       "      \"logical_block_size\": \"auto\",\n"
			       "      \"discard\": false,\n"
			       "      \"write_zeroes\": \"auto\",\n"
			       "      \"on_error\": \"report\",\n"
			       "      \"serial\": \"x\\\\y\",\n"
			       "      \"poll_us\": \"auto\",\n"
			       "      \"iopoll\": false,\n"
			       "      \"umem\": \"auto\",\n"
			       "      \"pin_guest_memory\": false,\n"
			       "      \"bounce_size\": \"auto\",\n"
			       "      \"offset\": 1024,\n"
			       "      \"size\": 9223369837831520256,\n"
			       "      \"socket\": \"auto\",\n"
			       "      \"socket_mode\": \"0660\",\n"
			       "      \"socket_group\": \"auto\"\n"
			       "    },\n"
			       "    {\n"
			       "      \"name\": \"b\",\n"
			       "      \"path\": \"b\\u0009c\",\n"
			       "      \"driver\": \"virtio-vdpa\",\n"
			       "      \"readonly\": false,\n"
			       "      \"cache\": \"auto\",\n"
			       "      \"queues\": 2,\n"
			       "      \"queue_size\": \"auto\",\n"
			       "      \"indirect_descriptors\": \"auto\",\n"
			       "      \"logical_block_size\": \"auto\",\n"
			       "      \"discard\": \"auto\",\n"
			       "      \"write_zeroes\": true,\n"
			       "      \"on_error\": \"report\",\n"
			       "      \"serial\": \"b\",\n"
			       "      \"poll_us\": 0,\n"
			       "      \"iopoll\": true,\n"
			       "      \"umem\": true,\n"
			       "      \"pin_guest_memory\": false,\n"
			       "      \"bounce_size\": 1048576,\n"
			       "      \"offset\": 0,\n"
			       "      \"size\": \"auto\",\n"
			       "      \"socket\": \"auto\",\n"
			       "      \"socket_mode\": \"0660\",\n"
			       "      \"socket_group\": \"auto\"\n"
			       "    }\n"
			       "  ]\n"
			       "}\n");
	free(text);
}
END_TEST

START_TEST(help_has_a_row_of_five_columns_for_each_key)
{
	char *text = cfg_dumped(NULL);
	char *line, *c;
	size_t rows = 0, tabs;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		rows++;
		for (c = line, tabs = 0; (c = strchr(c, '\t')); c++)
			tabs++;
		ck_assert_msg(tabs == 4, "%s", line);
		ck_assert_msg(!strstr(line, "\t\t"), "%s", line);
	}
	ck_assert_uint_eq(rows, 3 + 22);
	free(text);
	text = cfg_dumped(NULL);
	ck_assert_ptr_nonnull(
		strstr(text, "global\tworkers\tauto, or 1 to 256\tauto\tthreads that serve"));
	ck_assert_ptr_nonnull(strstr(text, "DEVICE\tpath\tthe path of a regular file or a block "
					   "device"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_dump");
	TCase *tc = suite_case(suite, "dump", cfg_setup, cfg_teardown);

	tcase_add_unchecked_fixture(tc, cfg_begin, cfg_end);
	tcase_add_loop_test(tc, dump_of_every_good_value_is_read_back, 0, cfg_good_count);
	tcase_add_loop_test(tc, dump_of_every_path_is_read_back, 0, cfg_path_count);
	tcase_add_test(tc, dump_shows_every_key_with_its_effective_value);
	tcase_add_test(tc, json_has_numbers_and_escaped_strings);
	tcase_add_test(tc, help_has_a_row_of_five_columns_for_each_key);
	return suite_run(suite);
}
