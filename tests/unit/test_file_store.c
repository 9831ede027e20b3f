// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/file_store.c: reads and writes, whole and short, and what opening gives. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "file_fixture.h"
#include "iov.h"
#include "places.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

/* Reads and writes. */

/* For blocks of 512 bytes; larger ones make them larger. */
static const struct {
	uint32_t count;
	size_t lens[4];
	size_t first, gap;
	bool aligned;
} shapes[] = {
	{ 1, { 512 }, 0, 0, true },
	{ 1, { 65536 }, 0, 0, true },
	{ 2, { 512, 3584 }, 0, 0, true },
	{ 4, { 4096, 512, 1024, 8192 }, 512, 4096, true },
	{ 1, { 4096 }, 1, 0, false }, /* the address */
	{ 3, { 4096, 4096, 4096 }, 1024, 1, false },
	{ 2, { 100, 412 }, 0, 0, false }, /* the lengths */
	{ 3, { 1, 1022, 1 }, 3, 5, false },
	{ 2, { 256, 256 }, 0, 256, false },
};

START_TEST(transfer_lands_where_it_belongs)
{
	uint64_t len, unit, offsets[3];
	const char *direct, *staged;
	char want[64];
	struct fb_op op;

	if (!fb_open_place(DISK, fb_caches[_i].cache))
		return;
	unit = fb_backend->limits.logical_block;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		size_t lens[4];
		bool durable = i == 1 || i == 7;

		for (size_t j = 0; j < 4; j++)
			lens[j] = shapes[i].lens[j] * unit / 512;
		len = fb_cut_buffer(shapes[i].count, lens, 4,
				    shapes[i].first * (shapes[i].aligned ? unit / 512 : 1),
				    shapes[i].gap * unit / 512);
		direct = fb_caches[_i].direct && can_direct(fb_config.path) ? "-direct" : "";
		staged = *direct && !shapes[i].aligned ? " staged" : "";
		offsets[0] = 0;
		offsets[1] = unit;
		offsets[2] = FB_SLICE - len;
		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++) {
			op = fb_make_transfer(BACKEND_WRITE, offsets[j], len);
			op.io.durable = durable;
			fb_write_content(&op, len);
			ck_assert_int_eq(fb_run(&op), 0);
			fb_expect_content();
			snprintf(want, sizeof(want), "%s write%s%s", staged, direct,
				 durable && fb_config.cache != CACHE_UNSAFE ? " sync" : "");
			ck_assert_str_eq(op.trace, want);

			op = fb_make_transfer(BACKEND_READ, offsets[j], len);
			ck_assert_int_eq(fb_run(&op), 0);
			fb_expect_read(&op);
			snprintf(want, sizeof(want), "%s read%s", staged, direct);
			ck_assert_str_eq(op.trace, want);
		}
	}
}
END_TEST

/* More than one system call takes: it goes on where it stopped. */
START_TEST(transfer_has_more_pieces_than_iov_max)
{
	static const size_t lens[][3] = { { 512, 512, 512 }, { 1, 1022, 1 } };
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_AUTO))
		return;
	len = fb_cut_buffer(2 * IOV_MAX + 1 + 3 * (uint32_t)_i, lens[_i], 3, 0, 0);
	len -= len % 4096;
	fb_piece_count = iov_truncate(fb_pieces, fb_piece_count, len);
	ck_assert_uint_gt(fb_piece_count, 2 * IOV_MAX - 8);
	op = fb_make_transfer(BACKEND_WRITE, 4096, len);
	fb_write_content(&op, len);
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_uint_ge(op.steps, 2);
	fb_expect_content();
	op = fb_make_transfer(BACKEND_READ, 4096, len);
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_uint_ge(op.steps, 2);
	fb_expect_read(&op);
}
END_TEST

/* Registered memory is used for what lies in it as one piece, and for nothing else. */
START_TEST(registered_memory_is_used_where_it_can_be)
{
	static const struct {
		size_t first, lens[2];
		uint32_t count;
		const char *write, *read;
	} places[] = {
		{ 8192, { 4096 }, 1, " fixed write-direct", " fixed read-direct" },
		{ 12288, { 4096 }, 1, " fixed write-direct", " fixed read-direct" },
		{ 4096, { 4096 }, 1, " write-direct", " read-direct" },
		{ 4096, { 8192 }, 1, " write-direct", " read-direct" },
		{ 12288, { 8192 }, 1, " write-direct", " read-direct" },
		{ 16384, { 4096 }, 1, " write-direct", " read-direct" },
		{ 8192, { 4096, 4096 }, 2, " write-direct", " read-direct" },
	};
	struct ring_buffer buffer = { 0 }, other = { 0 };
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	ck_assert_int_eq(ring_buffer_add(&fb_ring, &other, fb_scratch, 4096), 0);
	ck_assert_int_eq(ring_buffer_add(&fb_ring, &buffer, fb_buffer + 8192, 8192), 0);
	ring_buffer_remove(&fb_ring, &other);
	ck_assert_int_eq(ring_buffer_add(&fb_ring, &other, fb_buffer + 8192, 8192), 0);
	ck_assert_uint_eq(other.index, buffer.index);
	ring_buffer_remove(&fb_ring, &other);
	ck_assert(!ring_buffer_has(&other, fb_scratch, 1));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		len = fb_cut_buffer(places[i].count, places[i].lens, 2, places[i].first, 0);
		op = fb_make_transfer(BACKEND_WRITE, 4096 * i, len);
		op.io.buffer = &buffer;
		fb_write_content(&op, len);
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_content();
		ck_assert_str_eq(op.trace, places[i].write);
		op = fb_make_transfer(BACKEND_READ, 4096 * i, len);
		op.io.buffer = &buffer;
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_read(&op);
		ck_assert_str_eq(op.trace, places[i].read);
	}
	ring_buffer_remove(&fb_ring, &buffer);
}
END_TEST

START_TEST(operations_in_any_order_agree_with_an_array)
{
	static const enum backend_op kinds[16] = {
		BACKEND_FLUSH, /* few: a disk that others use as well takes long */
		BACKEND_DISCARD,      BACKEND_DISCARD,	    BACKEND_DISCARD, BACKEND_WRITE_ZEROES,
		BACKEND_WRITE_ZEROES, BACKEND_WRITE_ZEROES, BACKEND_WRITE,   BACKEND_WRITE,
		BACKEND_WRITE,	      BACKEND_WRITE,	    BACKEND_WRITE,   BACKEND_WRITE,
	};
	struct fb_op op;

	if (!fb_open_place(DISK, fb_caches[_i].cache))
		return;
	srandom((unsigned int)_i);
	for (int i = 0; i < 300; i++) {
		uint64_t unit = fb_backend->limits.logical_block, blocks = FB_SLICE / unit;
		uint64_t count = 1 + (uint64_t)random() % 40;
		uint64_t offset = (uint64_t)random() % (blocks - count) * unit;
		size_t lens[4] = { unit, 3 * unit, 2 * unit, 4 * unit };
		enum backend_op kind = kinds[random() % 16];
		size_t odd = random() % 2 ? 1 : 0;

		if (kind == BACKEND_READ || kind == BACKEND_WRITE) {
			uint64_t len = fb_cut_buffer(4 + (uint32_t)random() % 4, lens, 4, odd * 7,
						     odd * 13);

			if (offset + len > FB_SLICE)
				continue;
			op = fb_make_transfer(kind, offset, len);
			if (kind == BACKEND_WRITE)
				fb_write_content(&op, len);
			ck_assert_int_eq(fb_run(&op), 0);
			if (kind == BACKEND_READ)
				fb_expect_read(&op);
			continue;
		}
		op = fb_make_op(kind, offset, kind == BACKEND_FLUSH ? 0 : count * unit);
		op.io.unmap = odd;
		if (kind == BACKEND_WRITE_ZEROES ||
		    (kind == BACKEND_DISCARD && fb_can_fallocate(PUNCH)))
			fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), 0);
		if (i % 10 == 0)
			fb_expect_content();
	}
	fb_expect_content();
}
END_TEST

/* Short transfers. */

static void truncate_store(uint64_t disk_bytes)
{
	ck_assert_int_eq(ftruncate(fb_plain_fd, (off_t)(FB_SLICE_START + disk_bytes)), 0);
}

START_TEST(store_that_was_truncated_has_no_data)
{
	static const uint64_t ends[] = { 0, 4096, 8192, 8192 + 512, 8192 + 100 };
	struct fb_op op;

	if (!fb_open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		truncate_store(ends[i]);
		op = fb_make_transfer(BACKEND_READ, 8192, fb_one_piece(8192));
		ck_assert_int_eq(fb_run(&op), -ENODATA);
	}
}
END_TEST

static void restore_store(struct fb_op *op)
{
	(void)op;
	ck_assert_int_eq(pwrite(fb_plain_fd, fb_content, FB_IMAGE_SIZE, 0), FB_IMAGE_SIZE);
}

/* Both ends: on a block, and inside of one, where O_DIRECT could not go on. */
START_TEST(short_read_goes_on_where_it_stopped)
{
	static const uint64_t ends[] = { 8192 + 4096, 8192 + 4096 + 100, 8192 + 3 };
	static const size_t lens[] = { 4096, 512, 4096, 3584 };
	struct fb_op op;

	if (!fb_open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		truncate_store(ends[i]);
		op = fb_make_transfer(BACKEND_READ, 8192, fb_cut_buffer(4, lens, 4, 0, 4096));
		op.between = restore_store;
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_uint_eq(op.steps, 2);
		fb_expect_read(&op);
	}
}
END_TEST

/* A block that comes in two pieces is no end, whatever the last request of this slot came to. */
START_TEST(torn_block_is_transferred_again_once)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	op = fb_make_transfer(BACKEND_READ, 8192, fb_one_piece(8192));
	op.fakes[0] = op.fakes[1] = 100;
	ck_assert_int_eq(fb_run(&op), -ENODATA);
	ck_assert_uint_eq(op.steps, 2);
	ck_assert(file_io(&op.io)->torn);

	op.io.iov[0] = fb_pieces[0];
	op.io.iov_count = 1;
	op.fakes[1] = 0;
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_uint_eq(op.steps, 2);
	fb_expect_read(&op);
}
END_TEST

/* Such a file system (or kernel) is asked once each for reads and writes. */
START_TEST(store_that_must_wait_goes_to_threads_from_then_on)
{
	static const char *const first[] = { " read read", " write write" };
	static const char *const later[] = { " read", " write" };
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	for (int kind = BACKEND_READ; kind <= BACKEND_WRITE; kind++) {
		for (int i = 0; i < 3; i++) {
			op = fb_make_transfer((enum backend_op)kind, 4096, fb_one_piece(4096));
			if (kind == BACKEND_WRITE)
				fb_write_content(&op, 4096);
			if (i == 1)
				op.fakes[0] = -EOPNOTSUPP;
			ck_assert_int_eq(fb_run(&op), 0);
			if (!op.ring_steps && i < 2)
				return; /* it is such a file system already */
			ck_assert_str_eq(op.trace, i == 1 ? first[kind] : later[kind]);
			ck_assert_uint_eq(op.ring_steps, i < 2);
			fb_expect_content();
		}
	}
}
END_TEST

static void lift_limit(struct fb_op *op)
{
	(void)op;
	fb_limit_file_size(RLIM_INFINITY);
}

START_TEST(short_write_goes_on_or_says_why_not)
{
	static const size_t lens[] = { 4096, 512, 4096, 3584 };
	uint64_t len, fits = _i % 2 ? 4096 + 100 : 4096;
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	len = fb_cut_buffer(4, lens, 4, 0, 4096);
	op = fb_make_transfer(BACKEND_WRITE, 8192, len);
	op.between = _i / 2 ? lift_limit : NULL;
	fb_limit_file_size(FB_SLICE_START + 8192 + fits);
	ck_assert_int_eq(fb_run(&op), _i / 2 ? 0 : -EFBIG);
	ck_assert_str_eq(op.trace, " write write");
	lift_limit(NULL);
	fb_write_content(&op, _i / 2 ? len : fits);
	fb_expect_content();
}
END_TEST

static void remove_filler(struct fb_op *op)
{
	(void)op;
	unlink(fb_filler);
}

START_TEST(full_file_system_is_an_error_until_there_is_room)
{
	struct fb_op op;

	if (!fb_open_place(MEMORY, CACHE_AUTO))
		return;
	fb_fill_memory(4 * CHUNK, CHUNK + 4096);
	op = fb_make_transfer(BACKEND_WRITE, 0, fb_one_piece(4 * CHUNK));
	op.between = _i ? remove_filler : NULL;
	ck_assert_int_eq(fb_run(&op), _i ? 0 : -ENOSPC);
	ck_assert_uint_eq(op.steps, 2);
	fb_write_content(&op, _i ? 4 * CHUNK : CHUNK + 4096);
	fb_expect_content();
}
END_TEST

START_TEST(interrupted_transfer_is_tried_again)
{
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	len = fb_one_piece(8192);
	for (int kind = BACKEND_READ; kind <= BACKEND_WRITE; kind++) {
		const char *want[] = { " read read read read", " write write write write" };

		op = fb_make_transfer((enum backend_op)kind, 512, len);
		op.fakes[0] = -EAGAIN;
		op.fakes[1] = -EINTR;
		op.fakes[2] = 512;
		if (kind == BACKEND_WRITE)
			fb_write_content(&op, len);
		ck_assert_int_eq(fb_run(&op), 0);
		ck_assert_str_eq(op.trace, want[kind]);
		fb_expect_content();

		op = fb_make_transfer((enum backend_op)kind, 512, len);
		op.fakes[0] = 512;
		op.fakes[1] = -EIO;
		if (kind == BACKEND_WRITE)
			fb_write_content(&op, len);
		ck_assert_int_eq(fb_run(&op), -EIO);
		ck_assert_uint_eq(op.steps, 2);
	}
}
END_TEST

/* Opening. */

START_TEST(open_passes_on_what_the_store_is)
{
	if (!fb_open_place(DISK, CACHE_WRITETHROUGH))
		return;
	ck_assert_uint_eq(fb_backend->limits.size, FB_SLICE);
	ck_assert_uint_eq(fb_backend->limits.logical_block, 512);
	ck_assert_uint_gt(fb_backend->limits.discard_max, 0);
	ck_assert(!fb_backend->limits.volatile_cache);
	ck_assert_uint_eq(fb_backend->offset, 65536);
}
END_TEST

START_TEST(open_that_fails_leaves_nothing)
{
	struct backend *untouched = (struct backend *)fb_content, *out = untouched;

	unlink(fb_image);
	test_log_expect(LOG_LEVEL_ERROR, fb_image);
	ck_assert_int_eq(store_type_file.open(&fb_config, 0, &out), -ENOENT);
	ck_assert_ptr_eq(out, untouched);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_store");
	TCase *tc = suite_case(suite, "transfer", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, transfer_lands_where_it_belongs, 0, FB_CACHES);
	tcase_add_loop_test(tc, transfer_has_more_pieces_than_iov_max, 0, 2);
	tcase_add_test(tc, registered_memory_is_used_where_it_can_be);
	tcase_add_loop_test(tc, operations_in_any_order_agree_with_an_array, 0, FB_CACHES);
	tcase_add_loop_test(tc, store_that_was_truncated_has_no_data, 0, 2);
	tcase_add_loop_test(tc, short_read_goes_on_where_it_stopped, 0, 2);
	tcase_add_test(tc, torn_block_is_transferred_again_once);
	tcase_add_test(tc, store_that_must_wait_goes_to_threads_from_then_on);
	tcase_add_loop_test(tc, short_write_goes_on_or_says_why_not, 0, 4);
	tcase_add_loop_test(tc, full_file_system_is_an_error_until_there_is_room, 0, 2);
	tcase_add_test(tc, interrupted_transfer_is_tried_again);
	tcase_add_test(tc, open_passes_on_what_the_store_is);
	tcase_add_test(tc, open_that_fails_leaves_nothing);
	return suite_run(suite);
}
