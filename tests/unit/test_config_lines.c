// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/config*.c: lines that make no sense are told, each with its number. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "suite.h"
#include "test_log.h"

#define COUNT "auto, or 1 to 256"

#define UNCLEAR                                                                                    \
	" is not understood; accepted: KEY = VALUE, [SECTION], or a comment after '#' or ';'"
#define NAME_BYTES                                                                                 \
	" cannot name a device: it has a character other than letters, digits, '_', '-' and '.'"
#define COMMENT                                                                                    \
	" has a ';' or '#', which begin a comment; put a blank before it, or quote the value"

static const struct wrong {
	const char *text, *line;
} wrong_files[] = {
	/* lines */
	{ CFG_DEVICE "path\n", "t.conf:3: \"path\"" UNCLEAR },
	{ CFG_DEVICE "= 4\n", "t.conf:3: \"= 4\"" UNCLEAR },
	{ CFG_DEVICE "x", "t.conf:3: \"x\"" UNCLEAR },
	{ "path = /a\n" CFG_DEVICE, "t.conf:1: \"path\" is before the first [SECTION]" },
	{ "path = /a\n", "t.conf:1: \"path\" is before the first [SECTION]" },
	{ CFG_DEVICE "queues = 4 \\ \n", "t.conf:3: a line cannot be continued with a backslash" },
	{ "# to be \\\n" CFG_DEVICE, "t.conf:1: a line cannot be continued with a backslash" },
	{ CFG_DEVICE "\\\n", "t.conf:3: a line cannot be continued with a backslash" },
	/* values */
	{ CFG_DEVICE "queues = \"4\n", "t.conf:3: [vdb] queues: \"\"4\" has no closing quote" },
	{ CFG_DEVICE "queues = '4\"\n", "t.conf:3: [vdb] queues: \"'4\"\" has no closing quote" },
	{ CFG_DEVICE "queues = '4' 2\n",
	  "t.conf:3: [vdb] queues: \"'4' 2\" has text after its closing quote" },
	{ CFG_DEVICE "queues = \"\" x\n",
	  "t.conf:3: [vdb] queues: \"\"\" x\" has text after its closing quote" },
	{ "[vdb]\npath = \"/a\\b\"\n", "t.conf:2: [vdb] path: \"\"/a\\b\"\" has a backslash inside "
				       "quotes; write it without quotes" },
	{ "[vdb]\npath = /a#1\n", "t.conf:2: [vdb] path: \"/a#1\"" COMMENT },
	{ "[vdb]\npath = /a;1\n", "t.conf:2: [vdb] path: \"/a;1\"" COMMENT },
	{ "[vdb]\npath = /a\\ # b\n", "t.conf:2: [vdb] path: \"/a\\ # b\" ends in a backslash" },
	{ "[vdb]\npath = # none\n", "t.conf:2: [vdb] path: \"\" is not understood; accepted: the "
				    "path of a regular file or a block device" },
	/* sections */
	{ CFG_DEVICE "[vdc\n", "t.conf:3: a section without ']': \"[vdc\"" },
	{ CFG_DEVICE "[vdc] # c\n", "t.conf:3: text after the ']' of a section: \"[vdc] # c\"" },
	{ CFG_DEVICE "[vdc] x = y\n",
	  "t.conf:3: text after the ']' of a section: \"[vdc] x = y\"" },
	{ CFG_DEVICE "[vdc]]\n", "t.conf:3: text after the ']' of a section: \"[vdc]]\"" },
	{ CFG_DEVICE "[]\nqueues = 4\n", "t.conf:3: \"\" cannot name a device: it is not 1 to 255 "
					 "characters long" },
	{ CFG_DEVICE "[ ]\n", "t.conf:3: \"\" cannot name a device: it is not 1 to 255 characters "
			      "long" },
	{ CFG_DEVICE "[v:d]\npath = x\n", "t.conf:3: \"v:d\"" NAME_BYTES },
	{ CFG_DEVICE "[v d]\nfoo = x\n", "t.conf:3: \"v d\"" NAME_BYTES },
	{ CFG_DEVICE "[Control]\n", "t.conf:3: \"control\" cannot name a device: it is the name of "
				    "VDUSE's own control node" },
	{ CFG_DEVICE "[vdb]\nqueues = 4\n",
	  "t.conf:3: a second section [vdb]; the first is in line 1" },
	{ CFG_DEVICE "[ VDB ]\n", "t.conf:3: a second section [vdb]; the first is in line 1" },
	{ "[global]\n" CFG_DEVICE "[Global]\nworkers = 1\n",
	  "t.conf:4: a second section [global]; the first is in line 1" },
	{ "\n\n[vdb]\nqueues = 4\n", "t.conf:3: [vdb] has no path, the file or block device to "
				     "serve" },
	{ "", "t.conf: no device section" },
	{ "\n", "t.conf: no device section" },
	{ "[global]\nworkers = 4\n", "t.conf: no device section" },
	/* keys */
	{ CFG_DEVICE "path = /b\n", "t.conf:3: [vdb] a second path; the first is in line 2" },
	{ CFG_DEVICE "PATH = /b\n", "t.conf:3: [vdb] a second path; the first is in line 2" },
	{ "[global]\nworkers = 1\n\nWorkers = 1\n" CFG_DEVICE,
	  "t.conf:4: [global] a second workers; the first is in line 2" },
	{ CFG_DEVICE "quues = 4\n",
	  "t.conf:3: [vdb] \"quues\" is not a key; accepted: path, driver, readonly, cache, "
	  "queues, queue_size, indirect_descriptors, logical_block_size, discard, write_zeroes, "
	  "on_error, serial, poll_us, iopoll, umem, pin_guest_memory, bounce_size, "
	  "offset, size" },
	{ CFG_DEVICE "queues : 4 = 4\n",
	  "t.conf:3: [vdb] \"queues : 4\" is not a key; accepted: path" },
	{ CFG_DEVICE "\"queues\" = 4\n",
	  "t.conf:3: [vdb] \"\"queues\"\" is not a key; accepted: path" },
	{ "[global]\nworker = 4\n" CFG_DEVICE,
	  "t.conf:2: [global] \"worker\" is not a key; accepted: log_level, runtime_dir, workers" },
	{ "[global]\nqueues = 4\n" CFG_DEVICE,
	  "t.conf:2: [global] queues: this key belongs in the section of a device" },
	{ CFG_DEVICE "Workers = 4\n", "t.conf:3: [vdb] Workers: this key belongs in [global]" },
	/* bytes */
	{ CFG_DEVICE "queues = \x1b[1m4\n", "t.conf:3: control character 0x1b" },
	{ "[vdb]\rpath = /a\n", "t.conf:1: control character 0x0d" },
	{ CFG_DEVICE "# \x7f\n", "t.conf:3: control character 0x7f" },
	{ CFG_DEVICE "serial = gr\xfcn\n", "t.conf:3: byte 0xfc is not UTF-8 text" },
	{ CFG_DEVICE "# \x80\n", "t.conf:3: byte 0x80 is not UTF-8 text" },
	{ CFG_DEVICE "# \xc0\x80\n", "t.conf:3: byte 0xc0 is not UTF-8 text" },
	{ CFG_DEVICE "# \xe0\x9f\xbf\n", "t.conf:3: byte 0xe0 is not UTF-8 text" },
	{ CFG_DEVICE "# \xed\xa0\x80\n", "t.conf:3: byte 0xed is not UTF-8 text" },
	{ CFG_DEVICE "# \xf0\x8f\xbf\xbf\n", "t.conf:3: byte 0xf0 is not UTF-8 text" },
	{ CFG_DEVICE "# \xf4\x90\x80\x80\n", "t.conf:3: byte 0xf4 is not UTF-8 text" },
	{ CFG_DEVICE "# \xe2\x82\n", "t.conf:3: byte 0xe2 is not UTF-8 text" },
	{ CFG_DEVICE "# \xe2\x82", "t.conf:3: byte 0xe2 is not UTF-8 text" },
	/* keys together */
	{ CFG_DEVICE "driver = vhost-vdpa\numem = on\n",
	  "t.conf:4: [vdb] umem = on, but driver = vhost-vdpa has no bounce buffer; accepted: auto "
	  "or off" },
	{ CFG_DEVICE "driver = virtio-vdpa\npin_guest_memory = yes\n",
	  "t.conf:4: [vdb] pin_guest_memory = yes, but driver = virtio-vdpa has no guest; accepted: "
	  "no" },
	{ CFG_DEVICE "pin_guest_memory = yes\n",
	  "t.conf:3: [vdb] pin_guest_memory = yes, but driver = virtio-vdpa has no guest" },
	{ CFG_DEVICE "driver = vhost-vdpa\nbounce_size = 64M\n",
	  "t.conf:4: [vdb] bounce_size, but driver = vhost-vdpa has no bounce buffer; accepted: "
	  "auto" },
	{ CFG_DEVICE "iopoll = yes\ncache = writeback\n",
	  "t.conf:3: [vdb] iopoll = yes, but cache is neither none nor auto: only O_DIRECT can be "
	  "polled for; accepted: no" },
	{ CFG_DEVICE "cache = unsafe\niopoll = on\n", "t.conf:4: [vdb] iopoll = yes, but cache" },
	{ "[vdb]\npath = fault:fail_red=1:/a\n",
	  "t.conf:2: [vdb] path: \"fail_red=1\" is no fault; accepted: delay_ms=N with 1 to 3600000, "
	  "fail_read=N, fail_write=N, fail_flush=N, lose_write=N, hold_while=PATH and "
	  "fail_while=PATH, separated by commas" },
	{ "[vdb]\npath = fault::/a\n", "path: \"\" is no fault" },
	{ "[vdb]\npath = fault:fail_read:/a\n", "path: \"fail_read\" is no fault" },
	{ "[vdb]\npath = fault:=1:/a\n", "path: \"=1\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=:/a\n", "path: \"fail_read=\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=0:/a\n", "path: \"fail_read=0\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=1x:/a\n", "path: \"fail_read=1x\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=-1:/a\n", "path: \"fail_read=-1\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=4294967296:/a\n", "fail_read=4294967296\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=18446744073709551617:/a\n", "551617\" is no fault" },
	{ "[vdb]\npath = fault:delay_ms=3600001:/a\n", "path: \"delay_ms=3600001\" is no fault" },
	{ "[vdb]\npath = fault:hold_while=:/a\n", "path: \"hold_while=\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=1,:/a\n", "path: \"\" is no fault" },
	{ "[vdb]\npath = fault:fail_read=1,fail_write=0:/a\n", "\"fail_write=0\" is no fault" },
	{ "[vdb]\npath = null:\n",
	  "t.conf:1: [vdb] path = null: has no size of its own: size is required" },
	{ "[vdb]\npath = error:\nsize = auto\n",
	  "t.conf:3: [vdb] path = error: has no size of its own: size is required" },
	{ "[vdb]\npath = null:\nsize = 1M\noffset = 512\n",
	  "t.conf:4: [vdb] offset, but path = null: keeps no bytes; accepted: 0" },
	{ "[vdb]\npath = error:\niopoll = yes\nsize = 1M\n",
	  "t.conf:3: [vdb] iopoll = yes, but path = error: is no disk; accepted: no" },
	{ CFG_DEVICE "readonly = yes\ndiscard = yes\n",
	  "t.conf:4: [vdb] discard = yes with readonly = yes; accepted: auto or no" },
	{ CFG_DEVICE "write_zeroes = on\nreadonly = yes\n",
	  "t.conf:3: [vdb] write_zeroes = yes with readonly = yes; accepted: auto or no" },
	{ CFG_DEVICE "queue_size = 2\nindirect_descriptors = no\n",
	  "t.conf:4: [vdb] indirect_descriptors = no, but a request takes three descriptors and "
	  "queue_size = 2; accepted: auto or yes" },
	{ CFG_DEVICE "size = 5K\nlogical_block_size = 4096\n",
	  "t.conf:4: [vdb] logical_block_size = 4096 does not divide offset and size" },
	{ CFG_DEVICE "logical_block_size = 1024\noffset = 512\n",
	  "t.conf:3: [vdb] logical_block_size = 1024 does not divide offset and size" },
	{ CFG_DEVICE "offset = 8388607T\nsize = 1T\n",
	  "t.conf:4: [vdb] offset + size is above 8388608T" },
};

START_TEST(wrong_file_gives_one_line_that_says_why)
{
	cfg_refused(wrong_files[_i].text, wrong_files[_i].line);
}
END_TEST

static const char *const right_files[] = {
	"[vdb]\r\npath = /a\r\n\r\nqueues = 4\r\n",
	"[vdb]\npath = /a\nqueues = 4",
	"[vdb]\npath = /a\nqueues = 4\r",
	"\n ; c\n\t# c [c] = \"\n[ VDB ]\n  PATH=/a\n\tQueues\t=4 ;\n",
};

START_TEST(line_ends_blanks_and_comments_do_not_matter)
{
	ck_assert_int_eq(cfg_load(right_files[_i]), 0);
	ck_assert_str_eq(cfg.devices[0].name, "vdb");
	ck_assert_str_eq(cfg.devices[0].path, "/a");
	ck_assert_uint_eq(cfg.devices[0].queues, 4);
}
END_TEST

START_TEST(empty_value_in_quotes_is_empty)
{
	cfg_refused(CFG_DEVICE "queues = \"\"\n",
		    "[vdb] queues: \"\" is not understood; accepted: " COUNT);
	cfg_refused(CFG_DEVICE "queues = '' # none\n",
		    "[vdb] queues: \"\" is not understood; accepted: ");
}
END_TEST

START_TEST(nul_byte_is_refused)
{
	static const char text[] = "[vdb]\npath = /a\0b\n[vdc]\n\0path = /c\n";

	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2: control character 0x00");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:4: control character 0x00");
	cfg_write_bytes(text, sizeof(text) - 1);
	ck_assert_int_eq(config_load("t.conf", &cfg), -EINVAL);
}
END_TEST

/* iniparser's buffer takes 1022 bytes, a newline and its NUL. */
START_TEST(line_has_at_most_1022_bytes)
{
	static const char head[] = "[vdb]\npath = ";
	const size_t longest = 1022 - strlen("path = ");
	char text[2048];
	size_t len = strlen(head) + longest;

	memset(text, 'a', sizeof(text));
	memcpy(text, head, strlen(head));
	text[len] = '\0';
	ck_assert_int_eq(cfg_load(text), 0);
	ck_assert_uint_eq(strlen(cfg.devices[0].path), longest);
	memcpy(text + len, "\nqueues = 4\n", 13);
	ck_assert_int_eq(cfg_load(text), 0);
	ck_assert_uint_eq(cfg.devices[0].queues, 4);

	memcpy(text + len, "a\n", 3);
	cfg_refused(text, "t.conf:2: 1023 bytes in a line; at most 1022");
}
END_TEST

START_TEST(each_error_has_its_line)
{
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2: [global] workers: \"many\" is not");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:4: [vdb] \"pth\" is not a key");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:5: [vdb] queues: \"0\" is not");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:10: [vde] has no path");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:6: \"v/c\" cannot name a device");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:9: [vdd] cache: \"x\" is not");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:11: [vde] queues: \"0\" is not");
	ck_assert_int_eq(cfg_load("[global]\nworkers = many\n[vdb]\npth = /a\nqueues = 0\n[v/c]\n"
				  "[vdd]\npath = /a\ncache = x\n[vde]\nqueues = 0\n"),
			 -EINVAL);
}
END_TEST

START_TEST(after_a_hundred_errors_the_rest_is_not_shown)
{
	char text[2048] = "";
	size_t i;

	for (i = 0; i < 200; i++)
		strcat(text, "x\n");
	test_log_allow(LOG_LEVEL_ERROR, "\"x\" is not understood");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf: more errors than these 100 are not shown");
	ck_assert_int_eq(cfg_load(text), -EINVAL);
	ck_assert_uint_eq(test_log_count("t.conf"), 101);
}
END_TEST

START_TEST(failure_leaves_the_output_alone)
{
	struct config before, after;

	memset(&before, 0x5a, sizeof(before));
	after = before;
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:3: \"x\" is not understood");
	cfg_write_bytes(CFG_DEVICE "x\n", strlen(CFG_DEVICE "x\n"));
	ck_assert_int_eq(config_load("t.conf", &after), -EINVAL);
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

static const char *const pieces[] = {
	"[",	     "]",	   "=",	   "\n",       "\n",
	"\n",	     " ",	   "\t",   "\r\n",     "\"",
	"'",	     "\\",	   "#",	   ";",	       ":",
	"%s",	     "\0",	   "\xff", "\xc3\xbc", "[vdb]\n",
	"[vdc]\n",   "[global]\n", "path", "path = ",  "/a",
	"serial = ", "queues = ",  "auto", "4",	       "size = ",
	"1M",	     "workers",	   "\"\"", "'a;b'",    "99999999999999999999",
};

/* Nothing that is made of these crashes; what is accepted is accepted again as it was dumped. */
START_TEST(random_text_is_refused_or_read_back)
{
	unsigned short seed[3] = { 0x5eed, (unsigned short)_i, 0 };
	char text[2048];
	size_t len, n, step;
	int tries;

	test_log_allow(LOG_LEVEL_ERROR, "t.conf");
	for (tries = 0; tries < 1000; tries++) {
		len = (size_t)snprintf(text, sizeof(text), CFG_DEVICE);
		for (n = (size_t)nrand48(seed) % 12; n; n--) {
			const char *piece = pieces[(size_t)nrand48(seed) % ARRAY_SIZE(pieces)];

			step = *piece ? strlen(piece) : 1;
			memcpy(text + len, piece, step);
			len += step;
		}
		config_exit(&cfg);
		cfg_write_bytes(text, len);
		if (!config_load("t.conf", &cfg))
			cfg_round_trip();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_lines");
	TCase *tc = suite_case(suite, "lines", cfg_setup, cfg_teardown);

	tcase_add_unchecked_fixture(tc, cfg_begin, cfg_end);
	tcase_add_loop_test(tc, wrong_file_gives_one_line_that_says_why, 0,
			    ARRAY_SIZE(wrong_files));
	tcase_add_loop_test(tc, line_ends_blanks_and_comments_do_not_matter, 0,
			    ARRAY_SIZE(right_files));
	tcase_add_test(tc, empty_value_in_quotes_is_empty);
	tcase_add_test(tc, nul_byte_is_refused);
	tcase_add_test(tc, line_has_at_most_1022_bytes);
	tcase_add_test(tc, each_error_has_its_line);
	tcase_add_test(tc, after_a_hundred_errors_the_rest_is_not_shown);
	tcase_add_test(tc, failure_leaves_the_output_alone);
	tcase_add_loop_test(tc, random_text_is_refused_or_read_back, 0, 8);
	return suite_run(suite);
}
