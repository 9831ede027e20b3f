// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/config*.c with the real iniparser. Tests run in a temporary directory and write their
 * configuration to "t.conf"; run the program at the top of the source tree.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "test_log.h"

#define DEVICE "[vdb]\npath = /a\n"

#define MIB (1024ull * 1024)

static char directory[] = "/tmp/test_config.XXXXXX";
static int source_fd; /* the directory that we were started in */
static struct config config;

static void setup(void)
{
	ck_assert_int_eq(chdir(directory), 0);
	test_log_begin();
}

static void teardown(void)
{
	config_exit(&config);
	test_log_end();
}

static void write_bytes(const void *bytes, size_t len)
{
	FILE *f = fopen("t.conf", "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static int load(const char *text)
{
	config_exit(&config);
	write_bytes(text, strlen(text));
	return config_load("t.conf", &config);
}

/* Exactly this line, and no other, must come of @text. */
static void refused(const char *text, const char *line)
{
	test_log_expect(LOG_LEVEL_ERROR, line);
	ck_assert_int_eq(load(text), -EINVAL);
}

static void load_key(const char *section, const char *key, const char *value, int result)
{
	char text[1024];

	if (!strcmp(section, "global"))
		snprintf(text, sizeof(text), "[global]\n%s = %s\n" DEVICE, key, value);
	else if (!strcmp(key, "path"))
		snprintf(text, sizeof(text), "[vdb]\npath = %s\n", value);
	else
		snprintf(text, sizeof(text), DEVICE "%s = %s\n", key, value);
	ck_assert_msg(load(text) == result, "%s = %s", key, value);
}

/* The text that a config_dump*() or config_help() writes; free() it. */
static char *dumped(void (*dump)(const struct config *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	if (dump)
		dump(&config, f);
	else
		config_help(f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

/* ---- values ---- */

static void defaults_check(const struct device_config *d)
{
	ck_assert_int_eq(d->driver, VDPA_DRIVER_VIRTIO);
	ck_assert(!d->readonly);
	ck_assert_int_eq(d->cache, CACHE_AUTO);
	ck_assert_uint_eq(d->queues, CONFIG_AUTO);
	ck_assert_uint_eq(d->queue_size, CONFIG_AUTO);
	ck_assert_uint_eq(d->logical_block_size, CONFIG_AUTO);
	ck_assert_int_eq(d->discard, SWITCH_AUTO);
	ck_assert_int_eq(d->write_zeroes, SWITCH_AUTO);
	ck_assert_str_eq(d->serial, "");
	ck_assert_uint_eq(d->poll_us, CONFIG_POLL_AUTO);
	ck_assert_int_eq(d->umem, SWITCH_AUTO);
	ck_assert_uint_eq(d->bounce_size, CONFIG_AUTO);
	ck_assert_uint_eq(d->offset, 0);
	ck_assert_uint_eq(d->size, CONFIG_AUTO);
}

START_TEST(defaults_fill_what_the_file_leaves_out)
{
	ck_assert_int_eq(load(DEVICE), 0);
	ck_assert_int_eq(config.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(config.runtime_dir, "/run/vduse-blk");
	ck_assert_uint_eq(config.workers, CONFIG_AUTO);
	ck_assert_uint_eq(config.device_count, 1);
	ck_assert_str_eq(config.devices[0].name, "vdb");
	ck_assert_str_eq(config.devices[0].path, "/a");
	defaults_check(&config.devices[0]);
}
END_TEST

#define GLOBAL(member, text, value)                                                                \
	{                                                                                          \
		"global", #member, text, value, offsetof(struct config, member),                   \
			sizeof(config.member)                                                      \
	}
#define DISK(member, text, value)                                                                  \
	{                                                                                          \
		"vdb", #member, text, value, offsetof(struct device_config, member),               \
			sizeof(config.devices->member)                                             \
	}
#define SWITCH(member)                                                                             \
	DISK(member, "auto", SWITCH_AUTO), DISK(member, "yes", SWITCH_YES),                        \
		DISK(member, "no", SWITCH_NO), DISK(member, "on", SWITCH_YES),                     \
		DISK(member, "off", SWITCH_NO), DISK(member, "true", SWITCH_YES),                  \
		DISK(member, "false", SWITCH_NO), DISK(member, "1", SWITCH_YES),                   \
		DISK(member, "0", SWITCH_NO)

static const struct good {
	const char *section, *key, *text;
	uint64_t value;
	size_t offset, width;
} good_values[] = {
	GLOBAL(log_level, "error", LOG_LEVEL_ERROR),
	GLOBAL(log_level, "warning", LOG_LEVEL_WARNING),
	GLOBAL(log_level, "info", LOG_LEVEL_INFO),
	GLOBAL(log_level, "debug", LOG_LEVEL_DEBUG),
	GLOBAL(workers, "auto", CONFIG_AUTO),
	GLOBAL(workers, "1", 1),
	GLOBAL(workers, "256", 256),
	DISK(driver, "virtio-vdpa", VDPA_DRIVER_VIRTIO),
	DISK(driver, "vhost-vdpa", VDPA_DRIVER_VHOST),
	DISK(readonly, "yes", true),
	DISK(readonly, "no", false),
	DISK(readonly, "on", true),
	DISK(readonly, "off", false),
	DISK(readonly, "true", true),
	DISK(readonly, "false", false),
	DISK(readonly, "1", true),
	DISK(readonly, "0", false),
	DISK(cache, "auto", CACHE_AUTO),
	DISK(cache, "none", CACHE_NONE),
	DISK(cache, "writeback", CACHE_WRITEBACK),
	DISK(cache, "writethrough", CACHE_WRITETHROUGH),
	DISK(cache, "unsafe", CACHE_UNSAFE),
	DISK(queues, "auto", CONFIG_AUTO),
	DISK(queues, "1", 1),
	DISK(queues, "0016", 16),
	DISK(queues, "256", 256),
	DISK(queue_size, "2", 2),
	DISK(queue_size, "1024", 1024),
	DISK(logical_block_size, "auto", CONFIG_AUTO),
	DISK(logical_block_size, "512", 512),
	DISK(logical_block_size, "4096", 4096),
	SWITCH(discard),
	SWITCH(write_zeroes),
	DISK(poll_us, "auto", CONFIG_POLL_AUTO),
	DISK(poll_us, "0", 0),
	DISK(poll_us, "1000000", 1000000),
	SWITCH(umem),
	DISK(bounce_size, "auto", CONFIG_AUTO),
	DISK(bounce_size, "1M", MIB),
	DISK(bounce_size, "1g", 1024 * MIB),
	DISK(bounce_size, "1028K", 1028 * 1024),
	DISK(offset, "0", 0),
	DISK(offset, "512", 512),
	DISK(offset, "9223372036854775296", 9223372036854775296ull),
	DISK(size, "auto", CONFIG_AUTO),
	DISK(size, "512", 512),
	DISK(size, "3k", 3072),
	DISK(size, "10G", 10240 * MIB),
	DISK(size, "8388607t", 8388607 * MIB * MIB),
	/* as a writer may write it */
	DISK(queues, "4 # four", 4),
	DISK(queues, "4\t; four", 4),
	DISK(queues, "\"4\"", 4),
	DISK(queues, "'4' # four", 4),
};

static uint64_t member_value(const struct good *good)
{
	const char *object = strcmp(good->section, "global") ? (const char *)config.devices
							     : (const char *)&config;
	uint64_t value = 0;

	memcpy(&value, object + good->offset, good->width); /* little-endian hosts only */
	return value;
}

START_TEST(good_value_is_taken)
{
	const struct good *good = &good_values[_i];

	load_key(good->section, good->key, good->text, 0);
	ck_assert_msg(member_value(good) == good->value, "%s = %s gave %" PRIu64, good->key,
		      good->text, member_value(good));
}
END_TEST

#define LEVELS	 "error, warning, info or debug"
#define COUNT	 "auto, or 1 to 256"
#define CACHES	 "auto, none, writeback, writethrough or unsafe"
#define POWER	 "auto, or a power of two, 2 to 1024"
#define BLOCKS	 "auto, 512, 1024, 2048 or 4096"
#define SWITCHES "auto, yes or no"
#define POLL	 "auto, or 0 to 1000000"
#define BOUNCE	 "auto, or 1M to 1G in steps of 4096 bytes"
#define OFFSET	 "a multiple of 512 bytes, below 8388608T"
#define SIZE	 "auto, or a multiple of 512 bytes, above 0 and below 8388608T"
#define SERIAL	 "1 to 20 printable ASCII characters"

static const struct bad {
	const char *section, *key, *text, *accepted;
} bad_values[] = {
	{ "global", "log_level", "loud", LEVELS },
	{ "global", "log_level", "INFO", LEVELS },
	{ "global", "log_level", "", LEVELS },
	{ "global", "runtime_dir", "", "an absolute path" },
	{ "global", "runtime_dir", "run", "an absolute path" },
	{ "global", "workers", "0", COUNT },
	{ "global", "workers", "257", COUNT },
	{ "vdb", "path", "", "the path of a regular file or a block device" },
	{ "vdb", "driver", "virtio_vdpa", "virtio-vdpa or vhost-vdpa" },
	{ "vdb", "readonly", "auto", "yes or no" },
	{ "vdb", "readonly", "yes please", "yes or no" },
	{ "vdb", "readonly", "Yes", "yes or no" },
	{ "vdb", "cache", "direct", CACHES },
	{ "vdb", "cache", "none,unsafe", CACHES },
	{ "vdb", "queues", "0", COUNT },
	{ "vdb", "queues", "257", COUNT },
	{ "vdb", "queues", "4x", COUNT },
	{ "vdb", "queues", "4 x", COUNT },
	{ "vdb", "queues", "4K", COUNT },
	{ "vdb", "queues", "-1", COUNT },
	{ "vdb", "queues", "+1", COUNT },
	{ "vdb", "queues", "0x4", COUNT },
	{ "vdb", "queues", "4294967297", COUNT },
	{ "vdb", "queues", "18446744073709551617", COUNT },
	{ "vdb", "queues", "", COUNT },
	{ "vdb", "queue_size", "0", POWER },
	{ "vdb", "queue_size", "1", POWER },
	{ "vdb", "queue_size", "100", POWER },
	{ "vdb", "queue_size", "2048", POWER },
	{ "vdb", "logical_block_size", "256", BLOCKS },
	{ "vdb", "logical_block_size", "520", BLOCKS },
	{ "vdb", "logical_block_size", "8192", BLOCKS },
	{ "vdb", "logical_block_size", "4K", BLOCKS },
	{ "vdb", "discard", "2", SWITCHES },
	{ "vdb", "discard", "y", SWITCHES },
	{ "vdb", "write_zeroes", "unmap", SWITCHES },
	{ "vdb", "serial", "", SERIAL },
	{ "vdb", "serial", "123456789012345678901", SERIAL },
	{ "vdb", "serial", "gr\xc3\xbcn", SERIAL },
	{ "vdb", "poll_us", "1000001", POLL },
	{ "vdb", "poll_us", "4294967295", POLL },
	{ "vdb", "poll_us", "1.5", POLL },
	{ "vdb", "umem", "maybe", "auto, on or off" },
	{ "vdb", "bounce_size", "0", BOUNCE },
	{ "vdb", "bounce_size", "1020K", BOUNCE },
	{ "vdb", "bounce_size", "1025K", BOUNCE },
	{ "vdb", "bounce_size", "1048577K", BOUNCE },
	{ "vdb", "offset", "auto", OFFSET },
	{ "vdb", "offset", "511", OFFSET },
	{ "vdb", "offset", "8388608T", OFFSET },
	{ "vdb", "size", "0", SIZE },
	{ "vdb", "size", "513", SIZE },
	{ "vdb", "size", "1KK", SIZE },
	{ "vdb", "size", "1KiB", SIZE },
	{ "vdb", "size", "1 K", SIZE },
	{ "vdb", "size", "K", SIZE },
	{ "vdb", "size", "1P", SIZE },
	{ "vdb", "size", "99999999999999T", SIZE },
	{ "vdb", "size", "16777216T", SIZE },
	{ "vdb", "size", "99999999999999999999", SIZE },
};

START_TEST(bad_value_is_quoted_with_what_is_accepted)
{
	const struct bad *bad = &bad_values[_i];
	bool second = !strcmp(bad->section, "global") || !strcmp(bad->key, "path");
	char line[512];

	snprintf(line, sizeof(line), "t.conf:%d: [%s] %s: \"%s\" is not understood; accepted: %s",
		 second ? 2 : 3, bad->section, bad->key, bad->text, bad->accepted);
	test_log_expect(LOG_LEVEL_ERROR, line);
	load_key(bad->section, bad->key, bad->text, -EINVAL);
}
END_TEST

static const struct text {
	const char *text, *value;
} paths[] = {
	{ "/srv/a.img", "/srv/a.img" },
	{ "a.img", "a.img" },
	{ "../a b.img", "../a b.img" },
	{ "/a # b", "/a" },
	{ "/a ;b", "/a" },
	{ "/a = b", "/a = b" },
	{ "/A\\b", "/A\\b" },
	{ "/a[1]", "/a[1]" },
	{ "/a\"b'c", "/a\"b'c" },
	{ "\"/a;#b\"", "/a;#b" },
	{ "\" /a \"", " /a " },
	{ "'/a\"b'", "/a\"b" },
	{ "\"/a'b\"  # \"c\"", "/a'b" },
	{ "'\"a'", "\"a" },
	{ "/\xe2\x82\xac\xf0\x9f\x92\xbe", "/\xe2\x82\xac\xf0\x9f\x92\xbe" },
};

START_TEST(path_is_kept_as_written)
{
	load_key("vdb", "path", paths[_i].text, 0);
	ck_assert_str_eq(config.devices[0].path, paths[_i].value);
}
END_TEST

START_TEST(serial_is_kept_unless_it_is_the_default)
{
	load_key("vdb", "serial", "12345678901234567890", 0);
	ck_assert_str_eq(config.devices[0].serial, "12345678901234567890");
	load_key("vdb", "serial", "'a b'", 0);
	ck_assert_str_eq(config.devices[0].serial, "a b");
	load_key("vdb", "serial", "vdb", 0);
	ck_assert_str_eq(config.devices[0].serial, "");
	load_key("vdb", "serial", "VDB", 0);
	ck_assert_str_eq(config.devices[0].serial, "VDB");
}
END_TEST

/* ---- lines ---- */

#define UNCLEAR                                                                                    \
	" is not understood; accepted: KEY = VALUE, [SECTION], or a comment behind '#' or ';'"
#define NAME_BYTES                                                                                 \
	" cannot name a device: it has a character other than letters, digits, '_', '-' and '.'"
#define COMMENT                                                                                    \
	" has a ';' or '#', which begin a comment; put a blank before it, or quote the value"

static const struct wrong {
	const char *text, *line;
} wrong_files[] = {
	/* lines */
	{ DEVICE "path\n", "t.conf:3: \"path\"" UNCLEAR },
	{ DEVICE "= 4\n", "t.conf:3: \"= 4\"" UNCLEAR },
	{ DEVICE "x", "t.conf:3: \"x\"" UNCLEAR },
	{ "path = /a\n" DEVICE, "t.conf:1: \"path\" stands before the first [SECTION]" },
	{ "path = /a\n", "t.conf:1: \"path\" stands before the first [SECTION]" },
	{ DEVICE "queues = 4 \\ \n", "t.conf:3: a line cannot be continued with a backslash" },
	{ "# to be \\\n" DEVICE, "t.conf:1: a line cannot be continued with a backslash" },
	{ DEVICE "\\\n", "t.conf:3: a line cannot be continued with a backslash" },
	/* values */
	{ DEVICE "queues = \"4\n", "t.conf:3: [vdb] queues: \"\"4\" has no closing quote" },
	{ DEVICE "queues = '4\"\n", "t.conf:3: [vdb] queues: \"'4\"\" has no closing quote" },
	{ DEVICE "queues = '4' 2\n",
	  "t.conf:3: [vdb] queues: \"'4' 2\" has text behind its closing quote" },
	{ DEVICE "queues = \"\" x\n",
	  "t.conf:3: [vdb] queues: \"\"\" x\" has text behind its closing quote" },
	{ "[vdb]\npath = \"/a\\b\"\n", "t.conf:2: [vdb] path: \"\"/a\\b\"\" has a backslash inside "
				       "quotes; write it without quotes" },
	{ "[vdb]\npath = /a#1\n", "t.conf:2: [vdb] path: \"/a#1\"" COMMENT },
	{ "[vdb]\npath = /a;1\n", "t.conf:2: [vdb] path: \"/a;1\"" COMMENT },
	{ "[vdb]\npath = /a\\ # b\n", "t.conf:2: [vdb] path: \"/a\\ # b\" ends in a backslash" },
	{ "[vdb]\npath = # none\n", "t.conf:2: [vdb] path: \"\" is not understood; accepted: the "
				    "path of a regular file or a block device" },
	/* sections */
	{ DEVICE "[vdc\n", "t.conf:3: a section without ']': \"[vdc\"" },
	{ DEVICE "[vdc] # c\n", "t.conf:3: text behind the ']' of a section: \"[vdc] # c\"" },
	{ DEVICE "[vdc] x = y\n", "t.conf:3: text behind the ']' of a section: \"[vdc] x = y\"" },
	{ DEVICE "[vdc]]\n", "t.conf:3: text behind the ']' of a section: \"[vdc]]\"" },
	{ DEVICE "[]\nqueues = 4\n", "t.conf:3: \"\" cannot name a device: it is not 1 to 255 "
				     "characters long" },
	{ DEVICE "[ ]\n", "t.conf:3: \"\" cannot name a device: it is not 1 to 255 characters "
			  "long" },
	{ DEVICE "[v:d]\npath = x\n", "t.conf:3: \"v:d\"" NAME_BYTES },
	{ DEVICE "[v d]\nfoo = x\n", "t.conf:3: \"v d\"" NAME_BYTES },
	{ DEVICE "[Control]\n", "t.conf:3: \"control\" cannot name a device: it is the name of "
				"VDUSE's own control node" },
	{ DEVICE "[vdb]\nqueues = 4\n",
	  "t.conf:3: a second section [vdb]; the first is in line 1" },
	{ DEVICE "[ VDB ]\n", "t.conf:3: a second section [vdb]; the first is in line 1" },
	{ "[global]\n" DEVICE "[Global]\nworkers = 1\n",
	  "t.conf:4: a second section [global]; the first is in line 1" },
	{ "\n\n[vdb]\nqueues = 4\n", "t.conf:3: [vdb] has no path, the file or block device to "
				     "serve" },
	{ "", "t.conf: no device section" },
	{ "\n", "t.conf: no device section" },
	{ "[global]\nworkers = 4\n", "t.conf: no device section" },
	/* keys */
	{ DEVICE "path = /b\n", "t.conf:3: [vdb] a second path; the first is in line 2" },
	{ DEVICE "PATH = /b\n", "t.conf:3: [vdb] a second path; the first is in line 2" },
	{ "[global]\nworkers = 1\n\nWorkers = 1\n" DEVICE,
	  "t.conf:4: [global] a second workers; the first is in line 2" },
	{ DEVICE "quues = 4\n",
	  "t.conf:3: [vdb] \"quues\" is not a key; accepted: path, driver, readonly, cache, "
	  "queues, queue_size, logical_block_size, discard, write_zeroes, serial, poll_us, umem, "
	  "bounce_size, offset, size" },
	{ DEVICE "queues : 4 = 4\n",
	  "t.conf:3: [vdb] \"queues : 4\" is not a key; accepted: path" },
	{ DEVICE "\"queues\" = 4\n",
	  "t.conf:3: [vdb] \"\"queues\"\" is not a key; accepted: path" },
	{ "[global]\nworker = 4\n" DEVICE,
	  "t.conf:2: [global] \"worker\" is not a key; accepted: log_level, runtime_dir, workers" },
	{ "[global]\nqueues = 4\n" DEVICE,
	  "t.conf:2: [global] queues: this key belongs into the section of a device" },
	{ DEVICE "Workers = 4\n", "t.conf:3: [vdb] Workers: this key belongs into [global]" },
	/* bytes */
	{ DEVICE "queues = \x1b[1m4\n", "t.conf:3: control character 0x1b" },
	{ "[vdb]\rpath = /a\n", "t.conf:1: control character 0x0d" },
	{ DEVICE "# \x7f\n", "t.conf:3: control character 0x7f" },
	{ DEVICE "serial = gr\xfcn\n", "t.conf:3: byte 0xfc is not UTF-8 text" },
	{ DEVICE "# \x80\n", "t.conf:3: byte 0x80 is not UTF-8 text" },
	{ DEVICE "# \xc0\x80\n", "t.conf:3: byte 0xc0 is not UTF-8 text" },
	{ DEVICE "# \xe0\x9f\xbf\n", "t.conf:3: byte 0xe0 is not UTF-8 text" },
	{ DEVICE "# \xed\xa0\x80\n", "t.conf:3: byte 0xed is not UTF-8 text" },
	{ DEVICE "# \xf0\x8f\xbf\xbf\n", "t.conf:3: byte 0xf0 is not UTF-8 text" },
	{ DEVICE "# \xf4\x90\x80\x80\n", "t.conf:3: byte 0xf4 is not UTF-8 text" },
	{ DEVICE "# \xe2\x82\n", "t.conf:3: byte 0xe2 is not UTF-8 text" },
	{ DEVICE "# \xe2\x82", "t.conf:3: byte 0xe2 is not UTF-8 text" },
	/* keys together */
	{ DEVICE "driver = vhost-vdpa\numem = on\n",
	  "t.conf:4: [vdb] umem = on, but driver = vhost-vdpa has no bounce memory; accepted: auto "
	  "or off" },
	{ DEVICE "driver = vhost-vdpa\nbounce_size = 64M\n",
	  "t.conf:4: [vdb] bounce_size, but driver = vhost-vdpa has no bounce memory; accepted: "
	  "auto" },
	{ DEVICE "readonly = yes\ndiscard = yes\n",
	  "t.conf:4: [vdb] discard = yes with readonly = yes; accepted: auto or no" },
	{ DEVICE "write_zeroes = on\nreadonly = yes\n",
	  "t.conf:3: [vdb] write_zeroes = yes with readonly = yes; accepted: auto or no" },
	{ DEVICE "size = 5K\nlogical_block_size = 4096\n",
	  "t.conf:4: [vdb] logical_block_size = 4096 does not divide offset and size" },
	{ DEVICE "logical_block_size = 1024\noffset = 512\n",
	  "t.conf:3: [vdb] logical_block_size = 1024 does not divide offset and size" },
	{ DEVICE "offset = 8388607T\nsize = 1T\n",
	  "t.conf:4: [vdb] offset and size together pass 8388608T" },
};

START_TEST(wrong_file_gives_one_line_that_says_why)
{
	refused(wrong_files[_i].text, wrong_files[_i].line);
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
	ck_assert_int_eq(load(right_files[_i]), 0);
	ck_assert_str_eq(config.devices[0].name, "vdb");
	ck_assert_str_eq(config.devices[0].path, "/a");
	ck_assert_uint_eq(config.devices[0].queues, 4);
}
END_TEST

START_TEST(empty_value_in_quotes_is_empty)
{
	refused(DEVICE "queues = \"\"\n", "[vdb] queues: \"\" is not understood; accepted: " COUNT);
	refused(DEVICE "queues = '' # none\n", "[vdb] queues: \"\" is not understood; accepted: ");
}
END_TEST

START_TEST(nul_byte_is_refused)
{
	static const char text[] = "[vdb]\npath = /a\0b\n[vdc]\n\0path = /c\n";

	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2: control character 0x00");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:4: control character 0x00");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:1: [vdb] has no path");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:3: [vdc] has no path");
	write_bytes(text, sizeof(text) - 1);
	ck_assert_int_eq(config_load("t.conf", &config), -EINVAL);
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
	ck_assert_int_eq(load(text), 0);
	ck_assert_uint_eq(strlen(config.devices[0].path), longest);
	memcpy(text + len, "\nqueues = 4\n", 13);
	ck_assert_int_eq(load(text), 0);
	ck_assert_uint_eq(config.devices[0].queues, 4);

	test_log_expect(LOG_LEVEL_ERROR, "t.conf:1: [vdb] has no path");
	memcpy(text + len, "a\n", 3);
	refused(text, "t.conf:2: 1023 bytes in a line; at most 1022");
}
END_TEST

START_TEST(each_mistake_has_its_line)
{
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2: [global] workers: \"many\" is not");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:4: [vdb] \"pth\" is not a key");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:5: [vdb] queues: \"0\" is not");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:3: [vdb] has no path");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:6: \"v/c\" cannot name a device");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:9: [vdd] cache: \"x\" is not");
	ck_assert_int_eq(load("[global]\nworkers = many\n[vdb]\npth = /a\nqueues = 0\n[v/c]\n"
			      "[vdd]\npath = /a\ncache = x\n"),
			 -EINVAL);
}
END_TEST

START_TEST(after_a_hundred_mistakes_the_rest_is_not_shown)
{
	char text[2048] = "";
	size_t i;

	for (i = 0; i < 200; i++)
		strcat(text, "x\n");
	test_log_allow(LOG_LEVEL_ERROR, "\"x\" is not understood");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf: more mistakes than these 100 are not shown");
	ck_assert_int_eq(load(text), -EINVAL);
	ck_assert_uint_eq(test_log_count("t.conf"), 101);
}
END_TEST

START_TEST(failure_leaves_the_output_alone)
{
	struct config before, after;

	memset(&before, 0x5a, sizeof(before));
	after = before;
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:3: \"x\" is not understood");
	write_bytes(DEVICE "x\n", strlen(DEVICE "x\n"));
	ck_assert_int_eq(config_load("t.conf", &after), -EINVAL);
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

/* ---- files ---- */

START_TEST(missing_file_is_one_line)
{
	test_log_expect(LOG_LEVEL_ERROR, "none.conf: No such file or directory");
	ck_assert_int_eq(config_load("none.conf", &config), -ENOENT);
}
END_TEST

START_TEST(directory_is_no_configuration)
{
	test_log_expect(LOG_LEVEL_ERROR, ".: Is a directory");
	ck_assert_int_eq(config_load(".", &config), -EISDIR);
}
END_TEST

START_TEST(endless_file_is_refused)
{
	test_log_expect(LOG_LEVEL_ERROR, "/dev/zero: more than 1048576 bytes");
	ck_assert_int_eq(config_load("/dev/zero", &config), -EINVAL);
}
END_TEST

START_TEST(file_may_be_a_pipe)
{
	char path[64];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(write(fds[1], DEVICE, strlen(DEVICE)), strlen(DEVICE));
	close(fds[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	ck_assert_int_eq(config_load(path, &config), 0);
	ck_assert_str_eq(config.devices[0].path, "/a");
	close(fds[0]);
}
END_TEST

START_TEST(thousand_and_twenty_four_devices_are_the_most)
{
	FILE *f = fopen("t.conf", "we");
	size_t i;

	for (i = 0; i < 1026; i++)
		fprintf(f, "[d%zu]\npath = %zu\n", i, i);
	fclose(f);
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2049: [d1024] is one device too many; at most");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2051: [d1025] is one device too many; at most");
	ck_assert_int_eq(config_load("t.conf", &config), -EINVAL);
}
END_TEST

START_TEST(devices_keep_the_order_of_the_file)
{
	ck_assert_int_eq(load("[z]\npath=1\n[a]\npath=2\n[global]\nworkers=7\n[m]\npath=3\n"), 0);
	ck_assert_uint_eq(config.device_count, 3);
	ck_assert_str_eq(config.devices[0].name, "z");
	ck_assert_str_eq(config.devices[1].name, "a");
	ck_assert_str_eq(config.devices[2].name, "m");
	ck_assert_str_eq(config.devices[2].path, "3");
	ck_assert_uint_eq(config.workers, 7);
}
END_TEST

static void read_example(char *text, size_t size)
{
	int fd = openat(source_fd, "conf/vduse-blk.conf", O_RDONLY | O_CLOEXEC);
	ssize_t len;

	ck_assert_msg(fd >= 0, "run me at the top of the source tree");
	len = read(fd, text, size - 1);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	close(fd);
}

START_TEST(example_configuration_is_right_once_its_device_is_uncommented)
{
	static char text[65536];

	read_example(text, sizeof(text));
	refused(text, "t.conf: no device section");
	strstr(text, "\n#[data]")[1] = ' ';
	strstr(text, "\n#path = ")[1] = ' ';
	ck_assert_int_eq(load(text), 0);
	ck_assert_uint_eq(config.device_count, 1);
}
END_TEST

/* "# " begins prose; "#" and anything else is a line to be uncommented. */
START_TEST(example_configuration_shows_every_key_with_its_default)
{
	static char text[65536];
	size_t keys = 0;
	char *c;

	read_example(text, sizeof(text));
	for (c = text; (c = strstr(c, "\n#")); c++) {
		if (!strchr(" \n", c[2])) {
			c[1] = ' ';
			keys += c[2] != '[';
		}
	}
	ck_assert_uint_eq(keys, (3 + 15) + 2 + 3);
	ck_assert_int_eq(load(text), 0);
	ck_assert_uint_eq(config.device_count, 3);
	ck_assert_int_eq(config.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(config.runtime_dir, "/run/vduse-blk");
	ck_assert_uint_eq(config.workers, CONFIG_AUTO);
	defaults_check(&config.devices[0]);
}
END_TEST

/* ---- two devices on one store ---- */

static const struct slices {
	const char *first, *second;
	bool collide;
} slices[] = {
	{ "", "", true },
	{ "readonly = yes", "", true },
	{ "", "readonly = yes", true },
	{ "readonly = yes", "readonly = yes", false },
	{ "size = 1M", "offset = 1M", false },
	{ "size = 1M", "offset = 1048064", true },
	{ "offset = 1M", "size = 1M", false },
	{ "offset = 1M", "size = 1049088", true },
	{ "offset = 1M\nsize = 1M", "offset = 2M\nsize = 1M", false },
	{ "offset = 1M\nsize = 4M", "offset = 2M\nsize = 1M", true },
	{ "offset = 1M", "offset = 1G", true },
};

START_TEST(two_writers_of_one_slice_are_refused)
{
	const struct slices *s = &slices[_i];
	char text[512];

	snprintf(text, sizeof(text), "[vdb]\npath = /a\n%s\n[vdc]\n%s\npath = /a\n", s->first,
		 s->second);
	if (s->collide)
		test_log_expect(LOG_LEVEL_ERROR,
				": [vdc] would write to the same part of \"/a\" as [vdb] in line "
				"2; accepted: readonly = yes in both, or slices (offset, size) "
				"that do not overlap");
	ck_assert_int_eq(load(text), s->collide ? -EINVAL : 0);
}
END_TEST

START_TEST(equal_serials_are_accepted)
{
	ck_assert_int_eq(load("[a]\npath = 1\nserial = x\n[b]\npath = 2\nserial = x\n"), 0);
}
END_TEST

/* ---- writing ---- */

static void device_eq(const struct device_config *a, const struct device_config *b)
{
	ck_assert_str_eq(a->name, b->name);
	ck_assert_str_eq(a->path, b->path);
	ck_assert_int_eq(a->driver, b->driver);
	ck_assert_int_eq(a->readonly, b->readonly);
	ck_assert_int_eq(a->cache, b->cache);
	ck_assert_uint_eq(a->queues, b->queues);
	ck_assert_uint_eq(a->queue_size, b->queue_size);
	ck_assert_uint_eq(a->logical_block_size, b->logical_block_size);
	ck_assert_int_eq(a->discard, b->discard);
	ck_assert_int_eq(a->write_zeroes, b->write_zeroes);
	ck_assert_str_eq(a->serial, b->serial);
	ck_assert_uint_eq(a->poll_us, b->poll_us);
	ck_assert_int_eq(a->umem, b->umem);
	ck_assert_uint_eq(a->bounce_size, b->bounce_size);
	ck_assert_uint_eq(a->offset, b->offset);
	ck_assert_uint_eq(a->size, b->size);
}

/* What is dumped must be read back to the same. */
static void round_trip(void)
{
	char *text = dumped(config_dump);
	struct config again;
	size_t i;
	int err;

	write_bytes(text, strlen(text));
	err = config_load("t.conf", &again);
	ck_assert_msg(!err, "refused its own dump:\n%s", text);
	ck_assert_int_eq(again.log_level, config.log_level);
	ck_assert_str_eq(again.runtime_dir, config.runtime_dir);
	ck_assert_uint_eq(again.workers, config.workers);
	ck_assert_uint_eq(again.device_count, config.device_count);
	for (i = 0; i < config.device_count; i++)
		device_eq(&again.devices[i], &config.devices[i]);
	config_exit(&again);
	free(text);
}

START_TEST(dump_of_every_good_value_is_read_back)
{
	const struct good *good = &good_values[_i];

	load_key(good->section, good->key, good->text, 0);
	round_trip();
}
END_TEST

START_TEST(dump_of_every_path_is_read_back)
{
	load_key("vdb", "path", paths[_i].text, 0);
	round_trip();
}
END_TEST

START_TEST(dump_shows_every_key_with_its_effective_value)
{
	char *text;

	ck_assert_int_eq(load("[a.name-that-is-longer-than-a-serial]\npath = '/a b '\n"
			      "driver = vhost-vdpa\nreadonly = on\numem = no\ndiscard = 0\n"
			      "offset = 1049088\nsize = 3145728K\npoll_us = 50\n"),
			 0);
	text = dumped(config_dump);
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
			       "logical_block_size = auto\n"
			       "discard = no\n"
			       "write_zeroes = auto\n"
			       "serial = a.name-that-is-longe\n"
			       "poll_us = 50\n"
			       "umem = off\n"
			       "bounce_size = auto\n"
			       "offset = 1049088\n"
			       "size = 3G\n");
	free(text);
	round_trip();
}
END_TEST

START_TEST(json_has_numbers_and_escaped_strings)
{
	char *text;

	ck_assert_int_eq(load("[global]\nworkers = 2\n[a]\npath = '/\"\xc3\xbc'\nserial = x\\y\n"
			      "offset = 1K\nsize = 8388606T\nreadonly = yes\ndiscard = no\n"
			      "[b]\npath = b\tc\numem = on\nbounce_size = 1M\npoll_us = 0\n"
			      "write_zeroes = yes\nqueues = 2\n"),
			 0);
	text = dumped(config_dump_json);
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
			       "      \"logical_block_size\": \"auto\",\n"
			       "      \"discard\": false,\n"
			       "      \"write_zeroes\": \"auto\",\n"
			       "      \"serial\": \"x\\\\y\",\n"
			       "      \"poll_us\": \"auto\",\n"
			       "      \"umem\": \"auto\",\n"
			       "      \"bounce_size\": \"auto\",\n"
			       "      \"offset\": 1024,\n"
			       "      \"size\": 9223369837831520256\n"
			       "    },\n"
			       "    {\n"
			       "      \"name\": \"b\",\n"
			       "      \"path\": \"b\\u0009c\",\n"
			       "      \"driver\": \"virtio-vdpa\",\n"
			       "      \"readonly\": false,\n"
			       "      \"cache\": \"auto\",\n"
			       "      \"queues\": 2,\n"
			       "      \"queue_size\": \"auto\",\n"
			       "      \"logical_block_size\": \"auto\",\n"
			       "      \"discard\": \"auto\",\n"
			       "      \"write_zeroes\": true,\n"
			       "      \"serial\": \"b\",\n"
			       "      \"poll_us\": 0,\n"
			       "      \"umem\": true,\n"
			       "      \"bounce_size\": 1048576,\n"
			       "      \"offset\": 0,\n"
			       "      \"size\": \"auto\"\n"
			       "    }\n"
			       "  ]\n"
			       "}\n");
	free(text);
}
END_TEST

START_TEST(help_has_a_row_of_five_columns_for_each_key)
{
	char *text = dumped(NULL);
	char *line, *c;
	size_t rows = 0, tabs;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		rows++;
		for (c = line, tabs = 0; (c = strchr(c, '\t')); c++)
			tabs++;
		ck_assert_msg(tabs == 4, "%s", line);
		ck_assert_msg(!strstr(line, "\t\t"), "%s", line);
	}
	ck_assert_uint_eq(rows, 3 + 15);
	free(text);
	text = dumped(NULL);
	ck_assert_ptr_nonnull(
		strstr(text, "global\tworkers\tauto, or 1 to 256\tauto\tthreads that serve"));
	ck_assert_ptr_nonnull(strstr(text, "DEVICE\tpath\tthe path of a regular file or a block "
					   "device\t-\tfile or block device"));
	free(text);
}
END_TEST

START_TEST(cache_modes_have_the_names_of_the_file)
{
	ck_assert_str_eq(cache_mode_name(CACHE_AUTO), "auto");
	ck_assert_str_eq(cache_mode_name(CACHE_NONE), "none");
	ck_assert_str_eq(cache_mode_name(CACHE_WRITEBACK), "writeback");
	ck_assert_str_eq(cache_mode_name(CACHE_WRITETHROUGH), "writethrough");
	ck_assert_str_eq(cache_mode_name(CACHE_UNSAFE), "unsafe");
}
END_TEST

/* ---- hostile text ---- */

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
		len = (size_t)snprintf(text, sizeof(text), DEVICE);
		for (n = (size_t)nrand48(seed) % 12; n; n--) {
			const char *piece = pieces[(size_t)nrand48(seed) % ARRAY_SIZE(pieces)];

			step = *piece ? strlen(piece) : 1;
			memcpy(text + len, piece, step);
			len += step;
		}
		config_exit(&config);
		write_bytes(text, len);
		if (!config_load("t.conf", &config))
			round_trip();
	}
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(suite, tc);
	return tc;
}

static Suite *config_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = add_case(suite, "values");

	tcase_add_test(tc, defaults_fill_what_the_file_leaves_out);
	tcase_add_loop_test(tc, good_value_is_taken, 0, ARRAY_SIZE(good_values));
	tcase_add_loop_test(tc, bad_value_is_quoted_with_what_is_accepted, 0,
			    ARRAY_SIZE(bad_values));
	tcase_add_loop_test(tc, path_is_kept_as_written, 0, ARRAY_SIZE(paths));
	tcase_add_test(tc, serial_is_kept_unless_it_is_the_default);

	tc = add_case(suite, "lines");
	tcase_add_loop_test(tc, wrong_file_gives_one_line_that_says_why, 0,
			    ARRAY_SIZE(wrong_files));
	tcase_add_loop_test(tc, line_ends_blanks_and_comments_do_not_matter, 0,
			    ARRAY_SIZE(right_files));
	tcase_add_test(tc, empty_value_in_quotes_is_empty);
	tcase_add_test(tc, nul_byte_is_refused);
	tcase_add_test(tc, line_has_at_most_1022_bytes);
	tcase_add_test(tc, each_mistake_has_its_line);
	tcase_add_test(tc, after_a_hundred_mistakes_the_rest_is_not_shown);
	tcase_add_test(tc, failure_leaves_the_output_alone);
	tcase_add_loop_test(tc, random_text_is_refused_or_read_back, 0, 8);

	tc = add_case(suite, "files");
	tcase_add_test(tc, missing_file_is_one_line);
	tcase_add_test(tc, directory_is_no_configuration);
	tcase_add_test(tc, endless_file_is_refused);
	tcase_add_test(tc, file_may_be_a_pipe);
	tcase_add_test(tc, thousand_and_twenty_four_devices_are_the_most);
	tcase_add_test(tc, devices_keep_the_order_of_the_file);
	tcase_add_test(tc, example_configuration_is_right_once_its_device_is_uncommented);
	tcase_add_test(tc, example_configuration_shows_every_key_with_its_default);
	tcase_add_loop_test(tc, two_writers_of_one_slice_are_refused, 0, ARRAY_SIZE(slices));
	tcase_add_test(tc, equal_serials_are_accepted);

	tc = add_case(suite, "dump");
	tcase_add_loop_test(tc, dump_of_every_good_value_is_read_back, 0, ARRAY_SIZE(good_values));
	tcase_add_loop_test(tc, dump_of_every_path_is_read_back, 0, ARRAY_SIZE(paths));
	tcase_add_test(tc, dump_shows_every_key_with_its_effective_value);
	tcase_add_test(tc, json_has_numbers_and_escaped_strings);
	tcase_add_test(tc, help_has_a_row_of_five_columns_for_each_key);
	tcase_add_test(tc, cache_modes_have_the_names_of_the_file);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(config_suite());
	int failed;

	source_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!mkdtemp(directory)) {
		perror(directory);
		return 1;
	}
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);

	if (chdir(directory) == 0)
		unlink("t.conf");
	rmdir(directory);
	return failed != 0;
}
