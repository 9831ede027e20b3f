// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/store_type.c: the table; and its rows of stores that keep no bytes. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/closed_store.h"
#include "store/store_type.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

static char disk_name[] = "disk0";
static struct device_config config;

static void setup(void)
{
	test_log_begin();
	config = (struct device_config){ .name = disk_name, .size = 1 << 20 };
}

static const struct {
	const char *path;
	const struct store_type *type;
} paths[] = {
	{ "/null:", &store_type_file },	 { "./error:", &store_type_file },
	{ "null", &store_type_file },	 { "null:", &store_type_null },
	{ "error:", &store_type_error }, { "fault:fail_read=1:/a", &store_type_fault },
};

START_TEST(path_decides_on_the_store)
{
	config.path = (char *)paths[_i].path;
	ck_assert_ptr_eq(store_type_of(&config), paths[_i].type);
}
END_TEST

static const struct {
	const char *path;
	int result;
} empty[] = { { "null:", 0 }, { "error:", -EIO } };

static unsigned int completions;

static void io_done(struct backend_io *io, int err)
{
	ck_assert_int_eq(err, empty[io->len].result);
	ck_assert(!io->cancelled && !io->sync_failed && !io->done_bytes);
	completions++;
}

START_TEST(operations_of_an_empty_store_end_at_once)
{
	uint8_t memory[512];
	struct iovec iov = { memory, sizeof(memory) };
	struct backend_io io = {
		.iov = &iov,
		.iov_count = 1,
		.len = (uint64_t)_i,
		.done = io_done,
		.cancelled = true, /* as the last request left it */
		.done_bytes = 7,
	};
	struct backend *store;

	config.path = (char *)empty[_i].path;
	ck_assert_int_eq(store_type_of(&config)->open(&config, 0, &store), 0);
	memset(memory, 0xee, sizeof(memory));
	for (io.op = BACKEND_READ; io.op <= BACKEND_WRITE_ZEROES; io.op++)
		for (int durable = 0; durable < 2; durable++) {
			io.durable = durable;
			backend_submit(store, NULL, &io);
		}
	ck_assert_uint_eq(completions, 10);
	for (size_t i = 0; i < sizeof(memory); i++)
		ck_assert_uint_eq(memory[i], 0xee);
	ck_assert_uint_eq(backend_descriptors(store, NULL, 0), 0);
	backend_moved(store);
	backend_close(store);
}
END_TEST

static const struct {
	uint64_t size;
	uint32_t block;
	enum cache_mode cache;
	uint64_t expect_size;
	uint32_t expect_block;
	bool volatile_cache;
} shapes[] = {
	{ 1 << 20, 0, CACHE_AUTO, 1 << 20, 512, true },
	{ 8192, 4096, CACHE_NONE, 8192, 4096, true },
	{ 512, 0, CACHE_WRITETHROUGH, 512, 512, false },
	{ 0, 0, CACHE_AUTO, INT64_MAX - 511, 512, true }, /* for a rescue */
};

START_TEST(empty_store_has_the_shape_that_is_configured)
{
	struct backend examined = { 0 }, *store;

	config.size = shapes[_i].size;
	config.logical_block_size = shapes[_i].block;
	config.cache = shapes[_i].cache;
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		config.path = (char *)empty[i].path;
		ck_assert_int_eq(store_type_of(&config)->examine(&config, true, &examined), 0);
		ck_assert_int_eq(store_type_of(&config)->open(&config, 0, &store), 0);
		ck_assert_mem_eq(&examined.limits, &store->limits, sizeof(store->limits));
		ck_assert_uint_eq(store->limits.size, shapes[_i].expect_size);
		ck_assert_uint_eq(store->limits.logical_block, shapes[_i].expect_block);
		ck_assert_uint_eq(store->limits.physical_block, shapes[_i].expect_block);
		ck_assert(store->limits.volatile_cache == shapes[_i].volatile_cache);
		ck_assert_str_eq(store->identity, "");
		ck_assert_str_eq(examined.identity, "");
		backend_close(store);
	}
}
END_TEST

START_TEST(empty_store_has_no_identity)
{
	char identity[BACKEND_IDENTITY_MAX] = "before";

	config.path = (char *)empty[_i].path;
	store_identify(&config, identity);
	ck_assert_str_eq(identity, "");
}
END_TEST

/* Before it is open as well as after. */
START_TEST(file_has_one_identity)
{
	char identity[BACKEND_IDENTITY_MAX];
	struct backend examined, *store;
	FILE *f;

	config.path = temp_path("image");
	store_identify(&config, identity);
	ck_assert_str_eq(identity, "");
	f = fopen(config.path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(ftruncate(fileno(f), (off_t)config.size), 0);
	ck_assert_int_eq(fchmod(fileno(f), 0600), 0);
	fclose(f);
	store_identify(&config, identity);
	ck_assert_int_eq(store_type_file.examine(&config, true, &examined), 0);
	ck_assert_str_eq(examined.identity, identity);
	ck_assert_int_eq(store_type_file.open(&config, 0, &store), 0);
	ck_assert_str_eq(store->identity, identity);
	ck_assert_mem_eq(&examined.limits, &store->limits, sizeof(store->limits));
	ck_assert(!strncmp(identity, "file ", 5));
	backend_close(store);
}
END_TEST

/* What a driver knows of the disk must hold for the store that is opened for it later. */
static const struct {
	struct backend opened;
	const char *refusal; /* NULL: none */
} reopened[] = {
	{ { .identity = "file 1 2", .limits = { .size = 8192, .logical_block = 512 } }, NULL },
	{ { .identity = "file 1 2", .limits = { .size = 8704, .logical_block = 512 } }, NULL },
	{ { .identity = "file 1 3", .limits = { .size = 8192, .logical_block = 512 } },
	  "is another file or disk than at the start of the server" },
	{ { .identity = "file 1 2", .limits = { .size = 7680, .logical_block = 512 } },
	  "has shrunk from 8192 to 7680 bytes" },
	{ { .identity = "file 1 2", .limits = { .size = 8192, .logical_block = 4096 } },
	  "has blocks of 4096 bytes now, and had blocks of 512 bytes" },
};

START_TEST(opened_store_is_compared_with_the_examined_one)
{
	const char *refusal = reopened[_i].refusal;

	config.path = (char *)"/a";
	if (refusal)
		test_log_expect(LOG_LEVEL_ERROR, refusal);
	ck_assert_int_eq(closed_store_check(&config, &reopened[0].opened, &reopened[_i].opened),
			 refusal ? -EINVAL : 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_type");
	TCase *tc = suite_case(suite, "type", setup, test_log_end);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, path_decides_on_the_store, 0, ARRAY_SIZE(paths));
	tcase_add_loop_test(tc, operations_of_an_empty_store_end_at_once, 0, ARRAY_SIZE(empty));
	tcase_add_loop_test(tc, empty_store_has_the_shape_that_is_configured, 0,
			    ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, empty_store_has_no_identity, 0, ARRAY_SIZE(empty));
	tcase_add_test(tc, file_has_one_identity);
	tcase_add_loop_test(tc, opened_store_is_compared_with_the_examined_one, 0,
			    ARRAY_SIZE(reopened));
	return suite_run(suite);
}
