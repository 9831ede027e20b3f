// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/host_file.c: what can be a store, its slices and limits, and who may open it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "places.h"
#include "store_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define NOBODY 65534 /* the user */

/* What is no store. */

enum node {
	MISSING,
	MISSING_DIR,
	NOT_A_DIR,
	EMPTY_PATH,
	DIRECTORY,
	FIFO,
	NULL_DEVICE,
	DANGLING,
	LOOP,
};

static const struct {
	enum node node;
	int err;
	const char *reason;
} no_stores[] = {
	{ MISSING, -ENOENT, "No such file" },
	{ MISSING_DIR, -ENOENT, "No such file" },
	{ NOT_A_DIR, -ENOTDIR, "Not a directory" },
	{ EMPTY_PATH, -ENOENT, "No such file" },
	{ DIRECTORY, -EISDIR, "neither a regular file nor a block device" },
	{ FIFO, -ENOTBLK, "neither a regular file nor a block device" },
	{ NULL_DEVICE, -ENOTBLK, "neither a regular file nor a block device" },
	{ DANGLING, -ENOENT, "No such file" },
	{ LOOP, -ELOOP, "symbolic link" },
};

static void make_node(enum node node)
{
	static char under[320];

	unlink(st_image);
	switch (node) {
	case MISSING:
		break;
	case MISSING_DIR:
	case NOT_A_DIR:
		if (node == NOT_A_DIR)
			st_make_image(ST_IMAGE_SIZE);
		snprintf(under, sizeof(under), "%s/image", st_image);
		st_config.path = under;
		break;
	case EMPTY_PATH:
		st_config.path = under;
		break;
	case DIRECTORY:
		st_config.path = temp_dir;
		break;
	case FIFO:
		ck_assert_int_eq(mkfifo(st_image, 0644), 0);
		break;
	case NULL_DEVICE:
		ck_assert_int_eq(symlink("/dev/null", st_image), 0);
		break;
	case DANGLING:
		ck_assert_int_eq(symlink("nothing", st_image), 0);
		break;
	case LOOP:
		ck_assert_int_eq(symlink("image", st_image), 0);
		break;
	}
}

START_TEST(what_is_no_store_is_refused)
{
	make_node(no_stores[_i].node);
	for (int readonly = 0; readonly < 2; readonly++)
		for (st_config.cache = CACHE_AUTO; st_config.cache <= CACHE_UNSAFE;
		     st_config.cache++) {
			st_config.readonly = readonly;
			st_expect_refusal(no_stores[_i].err, no_stores[_i].reason);
		}
	unlink(st_image);
}
END_TEST

START_TEST(symlink_to_an_image_is_followed)
{
	char link[320];

	snprintf(link, sizeof(link), "%s/link", temp_dir);
	ck_assert_int_eq(symlink("image", link), 0);
	st_config.path = link;
	st_expect_open(&st_store);
	ck_assert_uint_eq(st_store.limits.size, ST_IMAGE_SIZE);
	host_file_close(&st_store);
	unlink(link);
}
END_TEST

/* Sizes and slices. */

static const struct {
	uint64_t image, offset, size;
	uint32_t block;
	uint64_t served; /* 0: refused */
	const char *reason;
} slices[] = {
	{ ST_IMAGE_SIZE, 0, 0, 0, ST_IMAGE_SIZE, NULL },
	{ ST_IMAGE_SIZE, 512, 0, 0, ST_IMAGE_SIZE - 512, NULL },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE - 512, 0, 0, 512, NULL },
	{ ST_IMAGE_SIZE, 0, 512, 0, 512, NULL },
	{ ST_IMAGE_SIZE, 0, ST_IMAGE_SIZE, 0, ST_IMAGE_SIZE, NULL },
	{ ST_IMAGE_SIZE, 4096, 8192, 0, 8192, NULL },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE - 512, 512, 0, 512, NULL },
	{ 512, 0, 0, 0, 512, NULL },
	{ 1ull << 40, 1ull << 39, 1ull << 38, 0, 1ull << 38, NULL },
	{ 0, 0, 0, 0, 0, NOTHING },
	{ 0, 512, 512, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE, 0, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE, 512, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE + 512, 0, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, 1ull << 62, 0, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, (1ull << 63) - 512, 0, 0, 0, NOTHING " at that offset" },
	{ ST_IMAGE_SIZE, 0, ST_IMAGE_SIZE + 512, 0, 0, PAST_END },
	{ ST_IMAGE_SIZE, 512, ST_IMAGE_SIZE, 0, 0, PAST_END },
	{ ST_IMAGE_SIZE, ST_IMAGE_SIZE - 512, 1024, 0, 0, PAST_END },
	{ ST_IMAGE_SIZE, 512, (1ull << 63) - 1024, 0, 0, PAST_END },
	{ ST_IMAGE_SIZE, 512, (1ull << 63) - 512, 0, 0, PAST_END },
	{ 1, 0, 0, 0, 0, ODD },
	{ 511, 0, 0, 0, 0, ODD },
	{ 513, 0, 0, 0, 0, ODD },
	{ ST_IMAGE_SIZE + 1, 0, 0, 0, 0, ODD },
	{ ST_IMAGE_SIZE + 1, 0, ST_IMAGE_SIZE, 0, ST_IMAGE_SIZE,
	  NULL }, /* what is behind the slice does not matter */
	{ ST_IMAGE_SIZE + 1, 512, 0, 0, 0, ODD },
	{ 3 * 512, 0, 0, 4096, 0, ODD },
	{ ST_IMAGE_SIZE + 512, 0, 0, 4096, 0, ODD },
	{ ST_IMAGE_SIZE + 512, 512, 0, 4096, 0, ODD }, /* the size fits, the offset does not */
	{ ST_IMAGE_SIZE + 512, 0, 512, 4096, 0, ODD },
	{ ST_IMAGE_SIZE + 512, 4096, 8192, 4096, 8192, NULL },
	{ ST_IMAGE_SIZE, 0, 0, 4096, ST_IMAGE_SIZE, NULL },
	{ ST_IMAGE_SIZE + 512, 0, 0, 512, ST_IMAGE_SIZE + 512, NULL },
};

static const enum cache_mode direct_and_not[] = { CACHE_AUTO, CACHE_NONE, CACHE_WRITEBACK };

START_TEST(slice_is_judged)
{
	st_make_image((off_t)slices[_i].image);
	st_config.offset = slices[_i].offset;
	st_config.size = slices[_i].size;
	st_config.logical_block_size = slices[_i].block;
	for (size_t i = 0; i < ARRAY_SIZE(direct_and_not); i++) {
		st_config.cache = direct_and_not[i];
		if (st_config.cache == CACHE_NONE && !can_direct(st_image))
			continue;
		if (!slices[_i].served) {
			st_expect_refusal(-EINVAL, slices[_i].reason);
			continue;
		}
		st_expect_open(&st_store);
		ck_assert_uint_eq(st_store.offset, slices[_i].offset);
		ck_assert_uint_eq(st_store.limits.size, slices[_i].served);
		host_file_close(&st_store);
	}
}
END_TEST

START_TEST(regular_file_has_limits)
{
	struct stat st;

	ck_assert_int_eq(stat(st_image, &st), 0);
	for (st_config.logical_block_size = 0; st_config.logical_block_size <= 4096;
	     st_config.logical_block_size += 512) {
		uint32_t block = st_config.logical_block_size;

		if (block & (block - 1))
			continue;
		st_config.cache = CACHE_WRITEBACK;
		st_expect_open(&st_store);
		ck_assert(!st_store.block_device);
		ck_assert_uint_eq(st_store.limits.logical_block, block ? block : 512);
		ck_assert_uint_ge(st_store.limits.physical_block, st_store.limits.logical_block);
		if (st.st_blksize == 4096) {
			ck_assert_uint_eq(st_store.limits.physical_block, 4096);
			ck_assert_uint_eq(st_store.limits.io_min, 4096);
			ck_assert_uint_eq(st_store.limits.discard_granularity, 4096);
		}
		ck_assert_uint_eq(st_store.limits.alignment_offset, 0);
		ck_assert_uint_eq(st_store.limits.discard_max, 1u << 31);
		ck_assert_uint_eq(st_store.limits.zeroes_max, 1u << 31);
		host_file_close(&st_store);
	}
}
END_TEST

START_TEST(identity_is_of_the_bytes_not_of_the_name)
{
	char link[320], first[BACKEND_IDENTITY_MAX];

	snprintf(link, sizeof(link), "%s/link", temp_dir);
	st_expect_open(&st_store);
	strcpy(first, st_store.identity);
	host_file_close(&st_store);

	ck_assert_int_eq(symlink("image", link), 0);
	st_config.path = link;
	st_config.cache = CACHE_WRITEBACK;
	st_expect_open(&st_store);
	ck_assert_str_eq(st_store.identity, first);
	host_file_close(&st_store);
	unlink(link);

	st_config.path = st_image;
	st_config.offset = 512; /* which is told apart by the offset */
	st_expect_open(&st_store);
	ck_assert_str_eq(st_store.identity, first);
	ck_assert_uint_eq(st_store.offset, 512);
	host_file_close(&st_store);

	st_config.offset = 0;
	ck_assert_int_eq(rename(st_image, link), 0);
	st_make_image(ST_IMAGE_SIZE);
	st_expect_open(&st_store);
	ck_assert_str_ne(st_store.identity, first);
	host_file_close(&st_store);
	unlink(link);
}
END_TEST

/* Formats that are not read. */

static const struct {
	const char *name, *head;
	off_t at;
	size_t len;
} formats[] = {
	{ "a qcow2", "QFI\xfb\0\0\0\3", 0, 8 }, { "a QED", "QED\0", 0, 4 },
	{ "a VMDK", "KDMV\1", 0, 5 },		{ "a VHDX", "vhdxfile", 0, 8 },
	{ "a VHD", "conectix", 0, 8 },		{ "a VDI", "\x7f\x10\xda\xbe", 64, 4 },
};

static void write_head(off_t size, size_t format)
{
	int fd;

	st_make_image(size);
	fd = open(st_image, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, formats[format].head, formats[format].len, formats[format].at),
			 formats[format].len);
	close(fd);
}

/* It may be what a guest wrote. */
START_TEST(image_of_a_format_is_served_with_a_warning)
{
	write_head(ST_IMAGE_SIZE, (size_t)_i);
	for (size_t i = 0; i < ARRAY_SIZE(direct_and_not); i++) {
		st_config.cache = direct_and_not[i];
		if (st_config.cache == CACHE_NONE && !can_direct(st_image))
			continue;
		test_log_expect(LOG_LEVEL_WARNING, formats[_i].name);
		st_expect_open(&st_store);
		host_file_close(&st_store);
	}
	st_config.offset = 512; /* who cuts slices knows what is in the file */
	st_expect_open(&st_store);
	host_file_close(&st_store);
	st_config.offset = 0;
	st_wait_ms = 100; /* who goes on after a crash has heard it */
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

START_TEST(image_of_a_format_is_not_to_be_padded)
{
	write_head(ST_IMAGE_SIZE + 100, (size_t)_i);
	st_expect_refusal(-EINVAL, "qemu-img convert");
	st_expect_refusal(-EINVAL, formats[_i].name);
	st_make_image(ST_IMAGE_SIZE + 100);
	st_expect_refusal(-EINVAL, "truncate -s %512");
}
END_TEST

/* What the system refuses. */

START_TEST(descriptors_run_out)
{
	static const struct {
		enum cache_mode cache;
		unsigned int needed;
	} modes[] = { { CACHE_NONE, 6 }, { CACHE_UNSAFE, 2 } }; /* path, file, 4 for syncs */

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (modes[i].cache == CACHE_NONE && !can_direct(st_image))
			continue;
		st_config.cache = modes[i].cache;
		for (unsigned int n = 0; n < modes[i].needed; n++) {
			st_fds_limit = st_limit_for(n);
			st_expect_refusal(-EMFILE, "Too many open files");
		}
		st_limit_fds(st_limit_for(modes[i].needed));
		st_expect_open(&st_store);
		st_limit_fds(RLIM_INFINITY);
		host_file_close(&st_store);
	}
}
END_TEST

/* Gives up what root may do with other people's files. The directory must let others in. */
static bool become_nobody(void)
{
	if (geteuid() == 0 && seteuid(NOBODY))
		return false;
	return faccessat(AT_FDCWD, temp_dir, X_OK, AT_EACCESS) == 0;
}

static void become_root(void)
{
	if (geteuid() != getuid())
		ck_assert_int_eq(seteuid(getuid()), 0);
	prctl(PR_SET_DUMPABLE, 1); /* leak checkers want to look at us */
}

START_TEST(permission_of_the_file_counts)
{
	ck_assert_int_eq(chmod(st_image, _i % 2 ? 0444 : 0), 0);
	st_config.cache = _i / 2 ? CACHE_WRITEBACK : CACHE_AUTO;
	if (become_nobody()) {
		st_expect_refusal(-EACCES, "Permission denied");
		st_config.readonly = true;
		if (_i % 2) {
			test_log_allow(LOG_LEVEL_WARNING, "can be opened by any user");
			st_expect_open(&st_store);
			ck_assert(st_store.readonly);
			host_file_close(&st_store);
		} else {
			st_expect_refusal(-EACCES, "Permission denied");
		}
	}
	become_root();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_file");
	TCase *tc = suite_case(suite, "file", st_setup, st_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, what_is_no_store_is_refused, 0, ARRAY_SIZE(no_stores));
	tcase_add_test(tc, symlink_to_an_image_is_followed);
	tcase_add_loop_test(tc, slice_is_judged, 0, ARRAY_SIZE(slices));
	tcase_add_test(tc, regular_file_has_limits);
	tcase_add_test(tc, identity_is_of_the_bytes_not_of_the_name);
	tcase_add_loop_test(tc, image_of_a_format_is_served_with_a_warning, 0, ARRAY_SIZE(formats));
	tcase_add_loop_test(tc, image_of_a_format_is_not_to_be_padded, 0, ARRAY_SIZE(formats));
	tcase_add_test(tc, descriptors_run_out);
	tcase_add_loop_test(tc, permission_of_the_file_counts, 0, 4);
	return suite_run(suite);
}
