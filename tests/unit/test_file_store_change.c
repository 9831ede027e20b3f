// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/file_store.c: flush, discard, write zeroes. */
#include <check.h>
#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_fixture.h"
#include "places.h"
#include "suite.h"
#include "temp_dir.h"

/* Flush, discard, write zeroes. */

static const struct {
	enum cache_mode cache;
	const char *steps;
} flushes[] = {
	{ CACHE_AUTO, " sync" },
	{ CACHE_WRITEBACK, " sync" },
	{ CACHE_WRITETHROUGH, " sync" }, /* not offered, but a driver may ask */
	{ CACHE_UNSAFE, "" },
};

START_TEST(flush_is_a_sync)
{
	struct fb_op op = fb_make_op(BACKEND_FLUSH, 0, 0);

	if (!fb_open_place(DISK, flushes[_i].cache))
		return;
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_str_eq(op.trace, flushes[_i].steps);
	op.fakes[0] = -EIO;
	ck_assert_int_eq(fb_run(&op), *flushes[_i].steps ? -EIO : 0);
}
END_TEST

static blkcnt_t blocks_of_store(void)
{
	struct stat st;

	ck_assert_int_eq(fsync(fb_plain_fd), 0);
	ck_assert_int_eq(fstat(fb_plain_fd, &st), 0);
	return st.st_blocks;
}

/* Lengths and offsets of a disk block, and of many. */
static const struct {
	uint64_t offset, len;
} extents[] = {
	{ 0, 4096 },
	{ 4096, 1u << 20 },
	{ FB_SLICE - 8192, 8192 },
	{ FB_SLICE - 4096 - 512, 512 }, /* inside of a file system's block */
	{ 512, 8192 },
};

/* So much that its space shows, however loosely a file system counts. */
static bool large(size_t extent)
{
	return extents[extent].len >= 1u << 20;
}

START_TEST(discard_gives_space_back_and_touches_nothing_else)
{
	static const char *const wants[][2] = {
		{ " punch", " punch sync" }, { " punch", " punch" }, /* cache = unsafe */
	};
	blkcnt_t before;
	struct fb_op op;

	if (!fb_can_fallocate(PUNCH) || !fb_open_place(DISK, _i ? CACHE_UNSAFE : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		before = large(i) ? blocks_of_store() : 0;
		op = fb_make_op(BACKEND_DISCARD, extents[i].offset, extents[i].len);
		op.io.durable = i % 2;
		fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_str_eq(op.trace, wants[_i][i % 2]);
		fb_expect_content();
		if (large(i))
			ck_assert_int_le(blocks_of_store(), before - (1 << 20) / 512 / 2);
	}
}
END_TEST

/* What write zeroes begins with, by place. Holes are for image files; disks get what was asked. */
static const struct {
	enum place place;
	enum config_switch discard;
	bool unmap;
	const char *steps; /* where everything is supported */
} zeroings[] = {
	{ DISK, SWITCH_AUTO, false, " punch" },	      { DISK, SWITCH_AUTO, true, " punch" },
	{ DISK, SWITCH_YES, false, " punch" },	      { DISK, SWITCH_NO, false, " zero_range" },
	{ DISK, SWITCH_NO, true, " zero_range" },     { MEMORY, SWITCH_AUTO, false, " punch" },
	{ BLOCK, SWITCH_AUTO, false, " zero_range" }, { BLOCK, SWITCH_AUTO, true, " punch" },
	{ BLOCK, SWITCH_NO, true, " zero_range" },
};

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

START_TEST(zeroes_are_made_the_best_way)
{
	bool keeps = zeroings[_i].discard == SWITCH_NO;
	blkcnt_t before;
	struct fb_op op;

	fb_config.discard = zeroings[_i].discard;
	if (!fb_open_place(zeroings[_i].place, CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		before = large(i) ? blocks_of_store() : 0;
		op = fb_make_op(BACKEND_WRITE_ZEROES, extents[i].offset, extents[i].len);
		op.io.unmap = zeroings[_i].unmap;
		op.io.durable = i % 2;
		fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_content();
		ck_assert(!!strstr(op.trace, " sync") == op.io.durable);
		if (i == 0)
			ck_assert(starts_with(op.trace, zeroings[_i].steps));
		if (large(i) && keeps && zeroings[_i].place == DISK)
			ck_assert_int_ge(blocks_of_store(), before);
		if (large(i) && !keeps && zeroings[_i].place == MEMORY)
			ck_assert_int_le(blocks_of_store(), before - (1 << 20) / 512 / 2);
	}
}
END_TEST

/* Pages that were written and not flushed, of the range and of its neighbours. */
START_TEST(dirty_pages_of_a_block_device_can_be_discarded_and_zeroed)
{
	struct fb_op op;

	fb_config.discard = SWITCH_YES;
	if (!fb_open_place(BLOCK, CACHE_WRITEBACK))
		return;
	for (int i = 0; i < 20; i++) {
		op = fb_make_transfer(BACKEND_WRITE, 65536, fb_one_piece(131072));
		ck_assert_int_eq(fb_run(&op), 0);
		fb_write_content(&op, 131072);
		op = fb_make_op(_i ? BACKEND_WRITE_ZEROES : BACKEND_DISCARD, 65536 + 4096 * i,
				32768);
		op.io.unmap = _i > 1;
		ck_assert_int_eq(fb_run(&op), 0);
		if (_i)
			fb_zero_content(&op);
	}
	if (_i)
		fb_expect_content();
}
END_TEST

static const struct {
	enum backend_op kind;
	int fakes[4];
	const char *steps;
} busy[] = {
	{ BACKEND_WRITE_ZEROES, { -EBUSY }, " zero_range write_back zero_range" },
	{ BACKEND_WRITE_ZEROES,
	  { -EBUSY, 0, -EBUSY },
	  " zero_range write_back zero_range zeroes:8192" },
	{ BACKEND_WRITE_ZEROES, { -EBUSY, -EIO }, " zero_range write_back zeroes:8192" },
	{ BACKEND_DISCARD, { -EBUSY }, " discard write_back discard" },
	{ BACKEND_DISCARD, { -EBUSY, 0, -EBUSY }, " discard write_back discard" },
	{ BACKEND_DISCARD, { -EBUSY, -EIO }, " discard write_back" },
};

START_TEST(page_that_stays_dirty_changes_the_way)
{
	struct fb_op op;

	fb_config.discard = SWITCH_YES;
	if (!fb_open_place(BLOCK, CACHE_WRITEBACK))
		return;
	for (int i = 0; i < 2; i++) { /* the store does not remember it */
		op = fb_make_op(busy[_i].kind, 8192, 8192);
		memcpy(op.fakes, busy[_i].fakes, sizeof(busy[_i].fakes));
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_str_eq(op.trace, busy[_i].steps);
	}
}
END_TEST

START_TEST(unsafe_cache_makes_nothing_durable)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_UNSAFE))
		return;
	op = fb_make_op(BACKEND_WRITE_ZEROES, 0, 4096);
	op.io.durable = true;
	fb_zero_content(&op);
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_ptr_null(strstr(op.trace, "sync"));
	fb_expect_content();
}
END_TEST

#define FOUR_CHUNKS " zeroes:65536 zeroes:65536 zeroes:65536"

/* Where nothing makes zeroes they are written, and what was learned is remembered. */
static const struct {
	enum place place;
	enum config_switch discard;
	int fake; /* for each step that is not a write */
	const char *first, *later;
} written[] = {
	{ PLAIN, SWITCH_AUTO, 0, " punch zero_range", "" },
	{ PLAIN, SWITCH_NO, 0, " zero_range", "" },
	{ MEMORY, SWITCH_NO, 0, " zero_range", "" },
	{ DISK, SWITCH_AUTO, -EOPNOTSUPP, " punch zero_range", "" },
	{ DISK, SWITCH_NO, -EOPNOTSUPP, " zero_range", "" },
	{ DISK, SWITCH_AUTO, -ENOSYS, " punch zero_range", "" },
	{ DISK, SWITCH_AUTO, -ENODEV, " punch zero_range", "" },
	{ BLOCK, SWITCH_AUTO, -ENOTTY, " punch zero_range", "" },
};

START_TEST(zeroes_are_written_in_chunks_as_the_last_resort)
{
	uint64_t unit, offsets[] = { 0, 512 * 1024, FB_SLICE - 4 * CHUNK };
	char want[256];
	struct fb_op op;

	fb_config.discard = written[_i].discard;
	if (!fb_open_place(written[_i].place, CACHE_AUTO))
		return;
	unit = fb_backend->limits.logical_block;
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		op = fb_make_op(BACKEND_WRITE_ZEROES, offsets[i] + unit, 3 * CHUNK + unit);
		op.io.durable = i % 2;
		op.io.unmap = true;
		for (int step = 0; i == 0 && step < (written[_i].discard == SWITCH_NO ? 1 : 2);
		     step++)
			op.fakes[step] = written[_i].fake;
		fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_content();
		snprintf(want, sizeof(want), "%s%s zeroes:%u%s",
			 i ? written[_i].later : written[_i].first, FOUR_CHUNKS, (unsigned int)unit,
			 i % 2 ? " sync" : "");
		ck_assert_str_eq(op.trace, want);
	}
}
END_TEST

/* Puts the old bytes back, as if the step before had written nothing but what it said. */
static void undo_zeroes(struct fb_op *op)
{
	uint64_t from = FB_SLICE_START + op->io.offset + op->io.done_bytes;

	if (!strstr(op->trace, "zeroes:"))
		return;
	memset(fb_scratch, 0xdd, op->io.len);
	ck_assert_int_ge(
		pwrite(fb_plain_fd, fb_scratch, op->io.len - op->io.done_bytes, (off_t)from), 0);
}

START_TEST(written_zeroes_go_on_where_they_stopped)
{
	struct fb_op op = fb_make_op(BACKEND_WRITE_ZEROES, 4096, CHUNK + 4096);

	fb_config.discard = SWITCH_NO;
	if (!fb_open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	op.fakes[0] = -EOPNOTSUPP;
	op.fakes[1] = !_i && can_direct(fb_config.path) ? 8192 + 100 : 8192; /* in whole blocks */
	op.fakes[2] = -EAGAIN;
	op.fakes[3] = -EINTR;
	op.between = undo_zeroes;
	fb_zero_content(&op);
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_str_eq(op.trace,
			 " zero_range zeroes:65536 zeroes:61440 zeroes:61440 zeroes:61440");
	fb_expect_content();

	memset(op.fakes, 0, sizeof(op.fakes));
	op.fakes[1] = -EIO;
	op.between = NULL;
	op.io.durable = true;
	ck_assert_int_eq(fb_run(&op), -EIO);
	ck_assert_str_eq(op.trace, " zeroes:65536 zeroes:4096");
}
END_TEST

START_TEST(written_zeroes_that_come_to_nothing_are_an_error)
{
	struct fb_op op = fb_make_op(BACKEND_WRITE_ZEROES, 4096, CHUNK);

	fb_config.discard = SWITCH_NO;
	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	op.fakes[0] = -EOPNOTSUPP;
	op.fakes[1] = 100; /* less than a block */
	ck_assert_int_eq(fb_run(&op), -ENODATA);
	ck_assert_str_eq(op.trace, " zero_range zeroes:65536");
}
END_TEST

START_TEST(written_zeroes_need_room)
{
	struct fb_op op = fb_make_op(BACKEND_WRITE_ZEROES, 0, 4 * CHUNK);

	fb_config.discard = SWITCH_NO;
	if (!fb_open_place(MEMORY, CACHE_AUTO))
		return;
	fb_fill_memory(4 * CHUNK, CHUNK + 4096);
	ck_assert_int_eq(fb_run(&op), -ENOSPC);
	ck_assert_str_eq(op.trace, " zero_range zeroes:65536 zeroes:65536 zeroes:65536");
	fb_expect_content();
}
END_TEST

static const enum backend_op changes[] = { BACKEND_DISCARD, BACKEND_WRITE_ZEROES };

/* An error that is not "I cannot do this" ends it, and is not remembered. */
START_TEST(error_of_a_change_is_passed_up)
{
	static const int errors[] = { -EIO, -ENOSPC, -EINVAL, -EPERM };
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		op = fb_make_op(changes[_i / 2], 4096, 8192);
		op.io.durable = true;
		op.fakes[_i % 2] = errors[i]; /* of the change, of the sync after it */
		fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), errors[i]);
		ck_assert_str_eq(op.trace, _i % 2 ? " punch sync" : " punch");
		fb_expect_content();
	}
}
END_TEST

START_TEST(discard_that_cannot_be_done_succeeds_without_effect)
{
	struct fb_op op = fb_make_op(BACKEND_DISCARD, 4096, 8192);

	op.io.durable = true;
	if (!fb_open_place(_i ? PLAIN : DISK, CACHE_AUTO))
		return;
	if (!_i) {
		op.fakes[0] = -EOPNOTSUPP;
		fb_zero_content(&op); /* in truth it could */
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_str_eq(op.trace, i ? "" : " punch sync");
		fb_expect_content();
	}
}
END_TEST

START_TEST(block_device_is_discarded)
{
	struct fb_op op;

	if (!fb_open_place(BLOCK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		op = fb_make_op(BACKEND_DISCARD, extents[i].offset & ~4095ull,
				MAX(extents[i].len, 4096));
		op.io.durable = i % 2;
		fb_zero_content(&op); /* a loop device punches its file */
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_content();
		ck_assert_str_eq(op.trace, i % 2 ? " discard sync" : " discard");
	}
	op.io.durable = true;
	op.fakes[0] = -EIO;
	ck_assert_int_eq(fb_run(&op), -EIO);
}
END_TEST

START_TEST(block_device_that_cannot_discard_is_not_asked_again)
{
	struct fb_op op = fb_make_op(BACKEND_DISCARD, 8192, 8192);

	if (!fb_open_place(BLOCK, CACHE_AUTO))
		return;
	op.fakes[0] = -EOPNOTSUPP;
	fb_zero_content(&op); /* in truth it could */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_str_eq(op.trace, i ? "" : " discard");
		fb_expect_content();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_store_change");
	TCase *tc = suite_case(suite, "change", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, flush_is_a_sync, 0, ARRAY_SIZE(flushes));
	tcase_add_loop_test(tc, discard_gives_space_back_and_touches_nothing_else, 0, 2);
	tcase_add_loop_test(tc, zeroes_are_made_the_best_way, 0, ARRAY_SIZE(zeroings));
	tcase_add_loop_test(tc, dirty_pages_of_a_block_device_can_be_discarded_and_zeroed, 0, 3);
	tcase_add_loop_test(tc, page_that_stays_dirty_changes_the_way, 0, ARRAY_SIZE(busy));
	tcase_add_test(tc, unsafe_cache_makes_nothing_durable);
	tcase_add_loop_test(tc, zeroes_are_written_in_chunks_as_the_last_resort, 0,
			    ARRAY_SIZE(written));
	tcase_add_loop_test(tc, written_zeroes_go_on_where_they_stopped, 0, 2);
	tcase_add_test(tc, written_zeroes_that_come_to_nothing_are_an_error);
	tcase_add_test(tc, written_zeroes_need_room);
	tcase_add_loop_test(tc, error_of_a_change_is_passed_up, 0, 4);
	tcase_add_loop_test(tc, discard_that_cannot_be_done_succeeds_without_effect, 0, 2);
	tcase_add_loop_test(tc, block_device_is_discarded, 0, 2);
	tcase_add_test(tc, block_device_that_cannot_discard_is_not_asked_again);
	return suite_run(suite);
}
