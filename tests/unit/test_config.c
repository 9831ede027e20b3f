// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/config*.c: what each key takes. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_fixture.h"
#include "suite.h"
#include "test_log.h"

START_TEST(defaults_fill_what_the_file_leaves_out)
{
	ck_assert_int_eq(cfg_load(CFG_DEVICE), 0);
	ck_assert_int_eq(cfg.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(cfg.runtime_dir, "/run/vduse-blk");
	ck_assert_uint_eq(cfg.workers, CONFIG_AUTO);
	ck_assert_uint_eq(cfg.device_count, 1);
	ck_assert_str_eq(cfg.devices[0].name, "vdb");
	ck_assert_str_eq(cfg.devices[0].path, "/a");
	cfg_defaults_check(&cfg.devices[0]);
}
END_TEST

START_TEST(good_value_is_taken)
{
	const struct cfg_good *good = &cfg_good_values[_i];

	cfg_load_key(good->section, good->key, good->text, 0);
	ck_assert_msg(cfg_member_value(good) == good->value, "%s = %s gave %" PRIu64, good->key,
		      good->text, cfg_member_value(good));
}
END_TEST

#define LEVELS "error, warning, info or debug"
#define STORES                                                                                      \
	"the path of a regular file or a block device, with / or ./ at its beginning where it has " \
	"a colon; file:PATH; null:, error: or fault:FAULTS:PATH"
#define COUNT	 "auto, or 1 to 256"
#define CACHES	 "auto, none, writeback, writethrough or unsafe"
#define POWER	 "auto, or a power of two, 2 to 1024"
#define BLOCKS	 "auto, 512, 1024, 2048 or 4096"
#define SWITCHES "auto, yes or no"
#define ON_ERROR "report, or retry:SECONDS with 1 to 86400"
#define POLL	 "auto, or 0 to 1000000"
#define UNITS	 "; K, M, G or T may follow the number"
#define BOUNCE	 "auto, or 1M to 1G in steps of 4096 bytes" UNITS
#define OFFSET	 "a multiple of 512 bytes, below 8388608T" UNITS
#define SIZE	 "auto, or a multiple of 512 bytes, above 0 and below 8388608T" UNITS
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
	{ "vdb", "path", "", STORES },
	{ "vdb", "path", "file:", STORES },
	{ "vdb", "path", ":", STORES },
	{ "vdb", "path", ":a", STORES },
	{ "vdb", "path", "nbd:/a", STORES },
	{ "vdb", "path", "a:b", STORES },
	{ "vdb", "path", "Null:", STORES },
	{ "vdb", "path", "nul:", STORES },
	{ "vdb", "path", "null:a", STORES },
	{ "vdb", "path", "error:/a", STORES },
	{ "vdb", "path", "fault:", STORES },
	{ "vdb", "path", "fault:/a", STORES },
	{ "vdb", "path", "fault:fail_read=1:", STORES },
	{ "vdb", "driver", "virtio_vdpa", "virtio-vdpa, vhost-vdpa or vhost-user" },
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
	{ "vdb", "on_error", "", ON_ERROR },
	{ "vdb", "on_error", "retry", ON_ERROR },
	{ "vdb", "on_error", "retry:", ON_ERROR },
	{ "vdb", "on_error", "retry:0", ON_ERROR },
	{ "vdb", "on_error", "retry:86401", ON_ERROR },
	{ "vdb", "on_error", "retry:5 s", ON_ERROR },
	{ "vdb", "on_error", "0", ON_ERROR },
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
	{ "vdb", "iopoll", "auto", "yes or no" },
	{ "vdb", "umem", "maybe", "auto, on or off" },
	{ "vdb", "pin_guest_memory", "auto", "yes or no" },
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
	{ "vdb", "size", "10MB", SIZE },
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
	cfg_load_key(bad->section, bad->key, bad->text, -EINVAL);
}
END_TEST

START_TEST(path_is_kept_as_written)
{
	cfg_load_key("vdb", "path", cfg_paths[_i].text, 0);
	ck_assert_str_eq(cfg.devices[0].path, cfg_paths[_i].value);
}
END_TEST

START_TEST(serial_is_kept_unless_it_is_the_default)
{
	cfg_load_key("vdb", "serial", "12345678901234567890", 0);
	ck_assert_str_eq(cfg.devices[0].serial, "12345678901234567890");
	cfg_load_key("vdb", "serial", "'a b'", 0);
	ck_assert_str_eq(cfg.devices[0].serial, "a b");
	cfg_load_key("vdb", "serial", "vdb", 0);
	ck_assert_str_eq(cfg.devices[0].serial, "");
	cfg_load_key("vdb", "serial", "VDB", 0);
	ck_assert_str_eq(cfg.devices[0].serial, "VDB");
}
END_TEST

/* A disk owns its section: it outlives the configuration that it came from. */
START_TEST(copy_of_a_device_is_its_own)
{
	struct device_config *copy;

	ck_assert_int_eq(cfg_load(CFG_DEVICE "serial = s\nqueues = 3\nsize = 512\n"), 0);
	copy = config_device_new(&cfg.devices[0]);
	ck_assert_ptr_nonnull(copy);
	ck_assert_ptr_ne(copy->name, cfg.devices[0].name);
	ck_assert_ptr_ne(copy->path, cfg.devices[0].path);
	cfg.devices[0].name[0] = cfg.devices[0].path[0] = 'x';
	ck_assert_str_eq(copy->name, "vdb");
	ck_assert_str_eq(copy->path, "/a");
	ck_assert_str_eq(copy->serial, "s");
	ck_assert_uint_eq(copy->queues, 3);
	ck_assert_uint_eq(copy->size, 512);
	config_device_free(copy);
	config_device_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = suite_case(suite, "values", cfg_setup, cfg_teardown);

	tcase_add_unchecked_fixture(tc, cfg_begin, cfg_end);
	tcase_add_test(tc, defaults_fill_what_the_file_leaves_out);
	tcase_add_loop_test(tc, good_value_is_taken, 0, cfg_good_count);
	tcase_add_loop_test(tc, bad_value_is_quoted_with_what_is_accepted, 0,
			    ARRAY_SIZE(bad_values));
	tcase_add_loop_test(tc, path_is_kept_as_written, 0, cfg_path_count);
	tcase_add_test(tc, serial_is_kept_unless_it_is_the_default);
	tcase_add_test(tc, copy_of_a_device_is_its_own);
	return suite_run(suite);
}
