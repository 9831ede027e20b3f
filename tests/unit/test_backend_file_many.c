// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/backend_file.c: many operations at a time, and one after the other. */
#include <check.h>
#include <linux/falloc.h>
#include <string.h>

#include "file_bench.h"
#include "suite.h"
#include "temp_dir.h"

/* Many. */

#define MANY 1000

static struct many {
	struct backend_io io;
	struct iovec iov;
	unsigned int completions;
	int err;
} many[MANY];

static unsigned int many_done;

static void many_io_done(struct backend_io *io, int err)
{
	struct many *m = container_of(io, struct many, io);

	m->completions++;
	m->err = err;
	many_done++;
}

static enum backend_op many_op(unsigned int i)
{
	if (i % 50 == 0)
		return BACKEND_FLUSH;
	return i % 5 == BACKEND_FLUSH ? BACKEND_READ : (enum backend_op)(i % 5);
}

/* Each has a block of its own. */
static void submit_one(unsigned int i, uint64_t unit)
{
	struct many *m = &many[i];
	uint8_t *at = fb_content + FB_SLICE_START + i * unit;

	m->iov = (struct iovec){ .iov_base = fb_buffer + i * unit, .iov_len = unit };
	m->io = (struct backend_io){
		.op = many_op(i),
		.offset = i * unit,
		.len = unit,
		.iov = &m->iov,
		.iov_count = 1,
		.done = many_io_done,
	};
	memset(m->iov.iov_base, (int)i, unit);
	if (m->io.op == BACKEND_WRITE)
		memcpy(at, m->iov.iov_base, unit);
	if (m->io.op == BACKEND_WRITE_ZEROES || m->io.op == BACKEND_DISCARD)
		memset(at, 0, unit);
	backend_submit(fb_backend, &fb_ring, &m->io);
}

START_TEST(thousand_operations_are_in_flight_on_a_small_ring)
{
	uint64_t unit;

	if (!fb_can_fallocate(PUNCH) || !fb_open_place(DISK, fb_caches[_i].cache))
		return;
	unit = fb_backend->limits.logical_block;
	if (MANY * unit > FB_SLICE)
		return;
	for (unsigned int i = 0; i < MANY; i++)
		submit_one(i, unit);
	while (many_done < MANY)
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ring_run(&fb_ring, false), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		ck_assert_uint_eq(many[i].completions, 1);
		ck_assert_int_eq(many[i].err, 0);
		if (many[i].io.op == BACKEND_READ)
			ck_assert_mem_eq(fb_buffer + i * unit,
					 fb_content + FB_SLICE_START + i * unit, unit);
	}
	fb_expect_content();
}
END_TEST

#define AGAIN 30

static void submit_again(struct backend_io *io, int err)
{
	struct fb_op *op = container_of(io, struct fb_op, io);

	ck_assert_int_eq(err, 0);
	if (++op->completions < AGAIN)
		backend_submit(fb_backend, &fb_ring, io);
}

/* As the ranges of one discard do: also where it ends before submitting returns. */
START_TEST(done_may_submit_again)
{
	static const enum backend_op kinds[] = { BACKEND_FLUSH, BACKEND_DISCARD,
						 BACKEND_WRITE_ZEROES };
	static struct fb_op op;

	if (!fb_open_place(DISK, _i ? CACHE_UNSAFE : CACHE_WRITEBACK))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		op = fb_make_op(kinds[i], 4096, 4096);
		op.io.done = submit_again;
		backend_submit(fb_backend, &fb_ring, &op.io);
		while (op.completions < AGAIN)
			ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_int_eq(ring_run(&fb_ring, false), 0);
		ck_assert_uint_eq(op.completions, AGAIN);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("backend_file_many");
	TCase *tc = suite_case(suite, "many", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, thousand_operations_are_in_flight_on_a_small_ring, 0, FB_CACHES);
	tcase_add_loop_test(tc, done_may_submit_again, 0, 2);
	return suite_run(suite);
}
