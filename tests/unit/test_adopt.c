// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/disk/adopt.c, identity.c: comparing a disk that is to be adopted with its inflight log. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk/adopt.h"
#include "store/identity.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define SIZE 1048576
#define LONG "customer-database-node-1"
#define CUT  "customer-database-no"

static struct device_config config;
static struct device device;
static char *run;

static void open_device(void)
{
	device = (struct device){ 0 };
	ck_assert_int_eq(device_open_store(&device, &config, run), 0);
}

/* The log of a server that served @config and was killed. */
static void leave_log(void)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;
	struct inflight *log;

	open_device();
	device_inflight_params(&device, run, identity, &params);
	ck_assert_int_eq(inflight_create(&params, &log), 0);
	inflight_close(log, false);
	device_close_store(&device);
}

static void setup(void)
{
	test_log_begin();
	run = temp_path("run");
	config = (struct device_config){
		.name = (char *)"disk0",
		.path = temp_path("image"),
		.cache = CACHE_WRITEBACK,
		.queues = 2,
		.queue_size = 64,
	};
	temp_image(config.path, SIZE);
}

static void teardown(void)
{
	if (device.backend)
		device_close_store(&device);
	unlink(temp_path("run/%s.inflight", config.name));
	test_log_end();
}

static int adopt(bool tell)
{
	struct inflight *log;
	int err;

	open_device();
	err = adopt_inflight(&device, run, tell, &log);
	if (!err)
		inflight_close(log, false);
	return err;
}

static void expect_refusal(const char *reason)
{
	test_log_expect(LOG_LEVEL_ERROR, "disk0: is attached already, and cannot be adopted: ");
	ck_assert_int_eq(adopt(true), -EINVAL);
	ck_assert_msg(test_log_count(reason) == 1, "not one line about \"%s\"", reason);
	ck_assert_uint_eq(test_log_count("0x"), 0);
	ck_assert_uint_eq(test_log_count(device.backend->identity), 0);
}

START_TEST(store_that_has_grown_is_served_as_it_was)
{
	leave_log();
	ck_assert_int_eq(adopt(true), 0);
	ck_assert_uint_eq(test_log_count("has grown"), 0);
	device_close_store(&device);
	ck_assert_int_eq(truncate(config.path, 2 * SIZE), 0);
	ck_assert_int_eq(adopt(_i), 0);
	ck_assert_uint_eq(device.limits.size, SIZE);
	ck_assert_uint_eq(test_log_count("has grown from 1048576 to 2097152 bytes; the disk keeps "
					 "1048576 until it is detached and attached again"),
			  _i);
	/* A device that is made again has the store's size. */
	ck_assert_int_eq(device_set_limits(&device), 0);
	ck_assert_uint_eq(device.limits.size, 2 * SIZE);
}
END_TEST

START_TEST(size_that_was_raised_waits_for_the_next_time)
{
	config.size = SIZE / 2;
	leave_log();
	config.size = SIZE;
	ck_assert_int_eq(adopt(true), 0);
	ck_assert_uint_eq(device.limits.size, SIZE / 2);
	ck_assert_uint_eq(test_log_count("its size in the configuration was changed from 524288"),
			  1);
}
END_TEST

START_TEST(store_that_has_shrunk_is_refused_with_sizes)
{
	leave_log();
	ck_assert_int_eq(truncate(config.path, SIZE / 2), 0);
	expect_refusal(
		"image has shrunk: the disk has 1048576 bytes, and the store has only 524288 for it");
}
END_TEST

START_TEST(long_name_keeps_the_serial_number_of_earlier_versions)
{
	config.name = (char *)LONG;
	strcpy(config.serial, CUT);
	leave_log();
	config.serial[0] = '\0';
	ck_assert_int_eq(adopt(true), 0);
	ck_assert_mem_eq(device.limits.serial, CUT, VIRTIO_BLK_ID_BYTES);
	ck_assert_int_eq(device_set_limits(&device), 0);
	ck_assert_mem_eq(device.limits.serial, "customer-da-8f61a0a2", VIRTIO_BLK_ID_BYTES);
}
END_TEST

START_TEST(other_serial_number_is_refused)
{
	static const struct {
		const char *name, *was, *is, *reason;
	} cases[] = {
		{ "disk0", "", "x", "serial was \"disk0\" and is \"x\"" },
		{ "disk0", "disk", "", "serial was \"disk\" and is \"disk0\"" },
		{ LONG, CUT, "y", "serial was \"" CUT "\" and is \"y\"" },
		{ LONG, "customer-database-nn", "", "serial was \"customer-database-nn\" and is " },
	};

	config.name = (char *)cases[_i].name;
	strcpy(config.serial, cases[_i].was);
	leave_log();
	strcpy(config.serial, cases[_i].is);
	test_log_expect(LOG_LEVEL_ERROR, cases[_i].reason);
	ck_assert_int_eq(adopt(true), -EINVAL);
}
END_TEST

/* One key is another one than it was. */
static void change(int key)
{
	switch (key) {
	case 0:
		config.queues = 3;
		break;
	case 1:
		config.queue_size = 128;
		break;
	case 2:
		config.readonly = true;
		break;
	case 3:
		config.cache = CACHE_WRITETHROUGH;
		break;
	case 4:
		config.discard = SWITCH_NO;
		break;
	case 5:
		config.write_zeroes = SWITCH_NO;
		break;
	case 6:
		config.indirect = SWITCH_NO;
		break;
	case 7:
		config.logical_block_size = 4096;
		break;
	case 8:
		config.offset = SIZE / 2;
		break;
	case 9:
		config.size = SIZE / 4;
		break;
	case 10:
		config.path = temp_path("other");
		temp_image(config.path, SIZE);
		break;
	}
}

START_TEST(what_differs_is_said_in_words_of_the_configuration)
{
	static const char *const reasons[] = {
		"queues was 2 and is 3",
		"queue_size was 64 and is 128",
		"readonly was no and is yes",
		"cache was not writethrough and is writethrough",
		"discard was offered and is not offered",
		"write_zeroes was offered and is not offered",
		"indirect_descriptors was offered and is not offered",
		"logical_block_size was 512 and is 4096",
		"offset was 0 and is 524288",
		"size was 1048576 and is 262144",
		"other is another file or block device than the backing store of the disk",
	};

	leave_log();
	change(_i);
	expect_refusal(reasons[_i]);
}
END_TEST

START_TEST(all_that_differs_is_said_in_one_line)
{
	leave_log();
	change(0);
	change(1);
	change(9);
	expect_refusal("size was 1048576 and is 262144; queues was 2 and is 3; queue_size was 64 "
		       "and is 128; ");
}
END_TEST

START_TEST(log_that_is_missing_or_damaged_is_named)
{
	static const char *const reasons[] = {
		"disk0.inflight: No such file or directory; "
		"to end the requests that wait for it: vduse-blk rescue disk0",
		"disk0.inflight: it is damaged"
	};

	leave_log();
	if (_i)
		ck_assert_int_eq(truncate(temp_path("run/disk0.inflight"), 100), 0);
	else
		ck_assert_int_eq(unlink(temp_path("run/disk0.inflight")), 0);
	test_log_expect(LOG_LEVEL_ERROR, reasons[_i]);
	ck_assert_int_eq(adopt(true), _i ? -EINVAL : -ENOENT);
}
END_TEST

/* ---- identity ---- */

static const struct disk_identity some = {
	.store = "file 0:26/17",
	.offset = 4096,
	.size = 8192,
	.block = 512,
	.serial = "a, serial b ",
};

/* As the first versions wrote it: a device may be theirs. */
START_TEST(identity_is_read_back_from_its_text)
{
	char text[INFLIGHT_IDENTITY_MAX];
	struct disk_identity found;

	identity_print(&some, text);
	ck_assert_str_eq(text,
			 "file 0:26/17 at 4096, 8192 bytes in blocks of 512, serial a, serial b ");
	ck_assert(identity_parse(text, &found));
	ck_assert_str_eq(found.store, some.store);
	ck_assert_uint_eq(found.offset, some.offset);
	ck_assert_uint_eq(found.size, some.size);
	ck_assert_uint_eq(found.block, some.block);
	ck_assert_str_eq(found.serial, some.serial);
}
END_TEST

START_TEST(identity_has_room_for_the_longest_names)
{
	struct disk_identity longest = some, found;
	char text[INFLIGHT_IDENTITY_MAX];

	memset(longest.store, 'x', sizeof(longest.store) - 1);
	strcpy(longest.serial, "12345678901234567890");
	identity_print(&longest, text);
	ck_assert(identity_parse(text, &found));
	ck_assert_str_eq(found.store, longest.store);
	ck_assert_str_eq(found.serial, longest.serial);
	memmove(text + 1, text, sizeof(text) - 1);
	ck_assert(!identity_parse(text, &found));
}
END_TEST

START_TEST(other_text_is_no_identity)
{
	static const char *const texts[] = {
		"",
		"file 0:26/17",
		"file 0:26/17 at 4096",
		"file 0:26/17 at x, 8192 bytes in blocks of 512, serial a",
		"file 0:26/17 at 4096, 8192 bytes in blocks of 512, serial",
		"file 0:26/17 at 4096, 8192 bytes in blocks of 512, serial 123456789012345678901",
		"file 0:26/17 at 4096, 8192 bytes in blocks of 512",
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"23456789012345678901 at 4096, 8192 bytes in blocks of 512, serial a",
	};
	struct disk_identity found = some;

	ck_assert(!identity_parse(texts[_i], &found));
	ck_assert_str_eq(found.store, some.store);
	ck_assert_uint_eq(found.size, some.size);
	ck_assert_str_eq(found.serial, some.serial);
}
END_TEST

START_TEST(overlap_is_of_bytes_of_one_store)
{
	static const struct {
		const char *store;
		uint64_t offset, size;
		bool overlaps;
	} others[] = {
		{ "file 0:26/17", 4096, 8192, true },	{ "file 0:26/17", 0, 4096, false },
		{ "file 0:26/17", 0, 4608, true },	{ "file 0:26/17", 12288, 512, false },
		{ "file 0:26/17", 11776, 512, true },	{ "file 0:26/18", 4096, 8192, false },
		{ "block 0:26/17", 4096, 8192, false }, { "file 0:26/17", 0, 1 << 20, true },
	};
	struct disk_identity other = { .offset = others[_i].offset, .size = others[_i].size };

	strcpy(other.store, others[_i].store);
	ck_assert_int_eq(identity_overlaps(&some, &other), others[_i].overlaps);
	ck_assert_int_eq(identity_overlaps(&other, &some), others[_i].overlaps);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("adopt");
	TCase *tc = suite_case(suite, "adopt", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, store_that_has_grown_is_served_as_it_was, 0, 2);
	tcase_add_test(tc, size_that_was_raised_waits_for_the_next_time);
	tcase_add_test(tc, store_that_has_shrunk_is_refused_with_sizes);
	tcase_add_test(tc, long_name_keeps_the_serial_number_of_earlier_versions);
	tcase_add_loop_test(tc, other_serial_number_is_refused, 0, 4);
	tcase_add_loop_test(tc, what_differs_is_said_in_words_of_the_configuration, 0, 11);
	tcase_add_test(tc, all_that_differs_is_said_in_one_line);
	tcase_add_loop_test(tc, log_that_is_missing_or_damaged_is_named, 0, 2);
	tcase_add_test(tc, identity_is_read_back_from_its_text);
	tcase_add_test(tc, identity_has_room_for_the_longest_names);
	tcase_add_loop_test(tc, other_text_is_no_identity, 0, 8);
	tcase_add_loop_test(tc, overlap_is_of_bytes_of_one_store, 0, 8);
	return suite_run(suite);
}
