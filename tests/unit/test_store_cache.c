// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/host_file.c: cache modes, and file systems that cannot do them all. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "places.h"
#include "store_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

static int open_flags(int fd)
{
	return fcntl(fd, F_GETFL);
}

static const struct {
	enum cache_mode mode;
	bool direct;
	enum cache_mode becomes;
	bool volatile_cache;
} caches[] = {
	{ CACHE_AUTO, true, CACHE_NONE, true },
	{ CACHE_NONE, true, CACHE_NONE, true },
	{ CACHE_WRITEBACK, false, CACHE_WRITEBACK, true },
	{ CACHE_WRITETHROUGH, false, CACHE_WRITETHROUGH, false },
	{ CACHE_UNSAFE, false, CACHE_UNSAFE, true },
};

/* Each sync has an open file description of its own. */
static void expect_syncs(int access)
{
	unsigned int wanted = st_config.readonly ? 1 : STORE_SYNCS;

	ck_assert_uint_eq(st_store.sync_count, st_config.cache == CACHE_UNSAFE ? 0 : wanted);
	for (unsigned int i = 0; i < STORE_SYNCS; i++) {
		int fd = st_store.sync_fds[i];

		if (i >= st_store.sync_count) {
			ck_assert_int_eq(fd, -1);
			continue;
		}
		ck_assert_int_eq(open_flags(fd) & (O_ACCMODE | O_DIRECT), access);
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_int_eq(lseek(fd, 1 + i, SEEK_SET), 1 + i);
		for (unsigned int j = 0; j < i; j++)
			ck_assert_int_eq(lseek(st_store.sync_fds[j], 0, SEEK_CUR), 1 + j);
	}
}

static void expect_cache(size_t mode, bool direct)
{
	int access = st_config.readonly ? O_RDONLY : O_RDWR;

	st_expect_open(&st_store);
	ck_assert_int_eq(st_store.direct, direct);
	ck_assert_int_eq(st_store.cache,
			 mode == 0 && !direct ? CACHE_WRITEBACK : caches[mode].becomes);
	ck_assert_int_eq(st_store.limits.volatile_cache, caches[mode].volatile_cache);
	ck_assert_int_eq(st_store.readonly, st_config.readonly);

	ck_assert_int_eq(open_flags(st_store.fd) & O_ACCMODE, access);
	ck_assert_int_eq(!!(open_flags(st_store.fd) & O_DIRECT), direct);
	ck_assert_int_ne(fcntl(st_store.fd, F_GETFD) & FD_CLOEXEC, 0);
	if (direct) {
		ck_assert_uint_gt(st_store.memory_align, 0);
		ck_assert_uint_eq(st_store.memory_align & (st_store.memory_align - 1), 0);
		ck_assert_uint_ge(st_store.limits.logical_block, st_store.length_align);
		ck_assert_uint_eq(st_store.length_align & (st_store.length_align - 1), 0);
	}
	expect_syncs(access);
	host_file_close(&st_store);
	ck_assert_int_eq(st_store.fd, -1);
	ck_assert_uint_eq(st_store.sync_count, 0);
	ck_assert_int_eq(st_store.sync_fds[0], -1);
}

START_TEST(cache_mode_decides_about_o_direct)
{
	if (!can_direct(st_image))
		return;
	for (int readonly = 0; readonly < 2; readonly++) {
		st_config.readonly = readonly;
		st_config.cache = caches[_i].mode;
		expect_cache((size_t)_i, caches[_i].direct);
	}
	ck_assert_uint_eq(test_log_count(""), 0);
}
END_TEST

START_TEST(file_system_without_o_direct)
{
	if (!mount_private("ramfs", NULL))
		return;
	st_make_image(ST_IMAGE_SIZE);
	st_config.cache = caches[_i].mode;
	if (can_direct(st_image)) /* a kernel that learned it */
		expect_cache((size_t)_i, caches[_i].direct);
	else if (st_config.cache == CACHE_NONE)
		st_expect_refusal(-EINVAL, "O_DIRECT");
	else
		expect_cache((size_t)_i, false);
	if (st_config.cache == CACHE_AUTO && !can_direct(st_image))
		ck_assert_uint_eq(test_log_count("cannot do O_DIRECT, so cache is writeback"), 1);
	ck_assert_int_eq(umount(temp_dir), 0);
}
END_TEST

START_TEST(regular_file_cannot_be_polled_for)
{
	st_config.cache = caches[_i].mode;
	st_config.iopoll = true;
	if (st_config.cache != CACHE_NONE || can_direct(st_image))
		st_expect_refusal(-EINVAL, "iopoll = yes, but");
}
END_TEST

/* Since Linux 6.6 it takes O_DIRECT, of any alignment, and does not say so. */
START_TEST(file_system_in_memory)
{
	if (!mount_private("tmpfs", _i ? "huge=always" : NULL)) /* st_blksize: 2 MiB */
		return;
	st_make_image(ST_IMAGE_SIZE);
	st_config.cache = CACHE_AUTO;
	expect_cache(0, can_direct(st_image));
	st_expect_open(&st_store);
	ck_assert_uint_eq(st_store.limits.logical_block, 512);
	ck_assert_uint_eq(st_store.limits.physical_block, 4096);
	ck_assert_uint_eq(st_store.limits.io_min, 4096);
	ck_assert_uint_eq(st_store.limits.discard_granularity, 4096);
	if (st_store.direct)
		ck_assert_uint_eq(st_store.length_align, 512);
	host_file_close(&st_store);
	ck_assert_int_eq(umount(temp_dir), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_cache");
	TCase *tc = suite_case(suite, "cache", st_setup, st_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, cache_mode_decides_about_o_direct, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, regular_file_cannot_be_polled_for, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, file_system_without_o_direct, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, file_system_in_memory, 0, 2);
	return suite_run(suite);
}
