// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/store/file_store.c with iopoll: which operations use the second io_uring, and their
 * completions.
 *
 * The server would refuse this file for iopoll. The kernel may poll its disk, use an interrupt, or
 * refuse.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "store/file_store.h"
#include "file_fixture.h"
#include "places.h"
#include "suite.h"
#include "temp_dir.h"

static struct host_file *store(void)
{
	return &container_of(fb_backend, struct file_store, base)->file;
}

static bool open_polled(void)
{
	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return false;
	container_of(fb_backend, struct file_store, base)->iopoll = true;
	ck_assert_int_eq(ring_iopoll_init(&fb_ring), 0);
	return true;
}

static struct fb_op make_aligned(enum backend_op kind)
{
	return fb_make_transfer(kind, 8192, fb_one_piece(8192));
}

static void expect_done(struct fb_op *op)
{
	ck_assert_int_eq(fb_run(op), 0);
	ck_assert(!ring_is_polling(&fb_ring));
	if (op->io.op == BACKEND_READ)
		fb_expect_read(op);
	fb_expect_content();
}

START_TEST(transfer_is_polled_for_whatever_the_disk_says)
{
	struct fb_op op;

	if (!open_polled())
		return;
	op = make_aligned(BACKEND_WRITE);
	fb_write_content(&op, op.io.len);
	expect_done(&op);
	ck_assert_ptr_eq(strstr(op.trace, " polled write-direct"), op.trace);
	ck_assert_uint_le(op.steps, 2);
	op = make_aligned(BACKEND_READ);
	expect_done(&op);
	ck_assert_ptr_eq(strstr(op.trace, " polled read-direct"), op.trace);
	ck_assert_uint_le(op.steps, 2);
}
END_TEST

static const int refusals[] = { -EAGAIN, -EOPNOTSUPP };

START_TEST(refused_transfer_goes_through_the_first_ring)
{
	struct fb_op op;

	if (!open_polled())
		return;
	op = make_aligned(BACKEND_READ);
	op.fakes[0] = refusals[_i];
	expect_done(&op);
	ck_assert_str_eq(op.trace, " polled read-direct read-direct");

	op = make_aligned(BACKEND_WRITE);
	op.fakes[0] = refusals[_i];
	op.fakes[1] = -EAGAIN; /* as ever: tried again */
	fb_write_content(&op, op.io.len);
	expect_done(&op);
	ck_assert_str_eq(op.trace, " polled write-direct write-direct write-direct");

	op = make_aligned(BACKEND_READ);
	op.fakes[0] = refusals[_i];
	op.fakes[1] = op.fakes[2] = -EOPNOTSUPP; /* not to wait, and the store's own */
	ck_assert_int_eq(fb_run(&op), -EOPNOTSUPP);
	ck_assert_str_eq(op.trace, " polled read-direct read-direct read-direct");
}
END_TEST

static void cancel(struct fb_op *op)
{
	op->io.cancelled = true;
}

START_TEST(cancelled_transfer_is_not_tried_again)
{
	struct fb_op op;

	if (!open_polled())
		return;
	op = make_aligned(BACKEND_READ);
	op.fakes[0] = -EINTR;
	op.between = cancel; /* after the first one, which was interrupted */
	op.fakes[1] = refusals[_i];
	ck_assert_int_eq(fb_run(&op), refusals[_i]);
	ck_assert_str_eq(op.trace, " polled read-direct polled read-direct");
}
END_TEST

START_TEST(error_and_short_transfer_are_as_ever)
{
	struct fb_op op;

	if (!open_polled())
		return;
	op = make_aligned(BACKEND_READ);
	op.fakes[0] = -EIO;
	ck_assert_int_eq(fb_run(&op), -EIO);
	ck_assert_str_eq(op.trace, " polled read-direct");

	op = make_aligned(BACKEND_WRITE);
	op.fakes[0] = op.fakes[1] = 4096;
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_str_eq(op.trace, " polled write-direct polled write-direct");

	op = make_aligned(BACKEND_READ);
	op.fakes[0] = 4096 + 100; /* which does not suit O_DIRECT */
	op.fakes[1] = 4096;
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_str_eq(op.trace, " polled read-direct polled read-direct");
}
END_TEST

START_TEST(what_cannot_be_polled_for_is_not)
{
	static const size_t odd[] = { 4000, 4192 };
	struct fb_op op;

	if (!open_polled())
		return;
	op = make_aligned(BACKEND_WRITE);
	op.io.durable = true;
	fb_write_content(&op, op.io.len);
	expect_done(&op);
	ck_assert_ptr_nonnull(strstr(op.trace, " sync"));
	ck_assert_ptr_null(strstr(op.trace, "polled sync"));

	op = fb_make_transfer(BACKEND_READ, 0, fb_cut_buffer(2, odd, 2, 1, 0));
	expect_done(&op);
	ck_assert_ptr_nonnull(strstr(op.trace, " polled staged read-direct"));

	op = fb_make_op(BACKEND_FLUSH, 0, 0);
	expect_done(&op);
	ck_assert_str_eq(op.trace, " sync");

	op = fb_make_op(BACKEND_WRITE_ZEROES, 0, 8192);
	fb_zero_content(&op);
	expect_done(&op);
	ck_assert_ptr_null(strstr(op.trace, "polled"));

	op = fb_make_op(BACKEND_DISCARD, 0, 8192);
	expect_done(&op);
	ck_assert_ptr_null(strstr(op.trace, "polled"));
}
END_TEST

START_TEST(ring_without_a_second_one_will_do)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	container_of(fb_backend, struct file_store, base)->iopoll = true;
	op = make_aligned(BACKEND_READ);
	expect_done(&op);
	ck_assert_str_eq(op.trace, " read-direct");
}
END_TEST

START_TEST(registered_memory_is_used_in_both)
{
	struct ring_buffer before = { 0 }, buffer = { 0 };
	struct fb_op op;

	/* Registered while there is one io_uring, and removed when there are two. */
	ck_assert_int_eq(ring_buffer_add(&fb_ring, &before, fb_scratch, 4096), 0);
	if (!open_polled())
		return;
	ck_assert_int_eq(ring_buffer_add(&fb_ring, &buffer, fb_buffer, 65536), 0);
	ck_assert_uint_ne(before.index, buffer.index);
	ring_buffer_remove(&fb_ring, &before);
	op = make_aligned(BACKEND_WRITE);
	op.io.buffer = &buffer;
	op.fakes[0] = -EAGAIN;
	fb_write_content(&op, op.io.len);
	expect_done(&op);
	ck_assert_str_eq(op.trace, " polled fixed write-direct fixed write-direct");
	op = make_aligned(BACKEND_READ);
	op.io.buffer = &buffer;
	expect_done(&op);
	ck_assert_ptr_eq(strstr(op.trace, " polled fixed read-direct"), op.trace);
	ring_buffer_remove(&fb_ring, &buffer);
}
END_TEST

#define MANY 200

static struct many {
	struct backend_io io;
	struct iovec iov;
} many[MANY];

static unsigned int many_done;

static void many_io_done(struct backend_io *io, int err)
{
	(void)io;
	ck_assert_int_eq(err, 0);
	many_done++;
}

/* More than either io_uring holds, and in parts: refused ones are done again as a whole. */
START_TEST(many_are_in_flight_at_a_time)
{
	if (!open_polled())
		return;
	if (_i)
		store()->part_max = 4096, store()->part_pieces = 8;
	for (unsigned int i = 0; i < MANY; i++) {
		many[i].iov = (struct iovec){ fb_buffer + i * 8192, 8192 };
		many[i].io = (struct backend_io){
			.op = i % 2 ? BACKEND_READ : BACKEND_WRITE,
			.offset = i % 184 * 8192,
			.len = 8192,
			.iov = &many[i].iov,
			.iov_count = 1,
			.done = many_io_done,
		};
		memcpy(many[i].iov.iov_base, fb_content + FB_SLICE_START + many[i].io.offset, 8192);
		backend_submit(fb_backend, &fb_ring, &many[i].io);
	}
	while (many_done < MANY)
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
	ck_assert(!ring_is_polling(&fb_ring));
	ck_assert_int_eq(ring_run(&fb_ring, false), 0);
	ck_assert_uint_eq(many_done, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert_mem_eq(fb_buffer + i * 8192,
				 fb_content + FB_SLICE_START + many[i].io.offset, 8192);
	fb_expect_content();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_store_iopoll");
	TCase *tc = suite_case(suite, "iopoll", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, transfer_is_polled_for_whatever_the_disk_says);
	tcase_add_loop_test(tc, refused_transfer_goes_through_the_first_ring, 0,
			    ARRAY_SIZE(refusals));
	tcase_add_loop_test(tc, cancelled_transfer_is_not_tried_again, 0, ARRAY_SIZE(refusals));
	tcase_add_test(tc, error_and_short_transfer_are_as_ever);
	tcase_add_test(tc, what_cannot_be_polled_for_is_not);
	tcase_add_test(tc, ring_without_a_second_one_will_do);
	tcase_add_test(tc, registered_memory_is_used_in_both);
	tcase_add_loop_test(tc, many_are_in_flight_at_a_time, 0, 2);
	return suite_run(suite);
}
