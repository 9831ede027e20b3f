// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/file_store.c: many operations at a time, and one after the other. */
#include <check.h>
#include <linux/falloc.h>
#include <string.h>

#include "store/file_store.h"
#include "fake_store_kern.h"
#include "file_fixture.h"
#include "guest.h"
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

/* What a disk cannot take at a time is cut. */

static const struct {
	size_t lens[3];
	uint32_t count;
	size_t part_max;
	uint32_t part_pieces;
	bool durable;
	unsigned int parts;
} cuts[] = {
	{ { 32768 }, 1, 32768, 8, false, 1 },
	{ { 32768 }, 1, 12288, 8, false, 3 },
	{ { 36864 }, 1, 32768, 8, false, 2 },
	{ { 24576 }, 1, 12288, 8, false, 2 },
	{ { 8192 }, 3, 12288, 8, false, 3 },
	{ { 32768 }, 1, 12288, 8, true, 3 },
	{ { 4096 }, 8, 12288, 8, false, 3 },
	{ { 4096 }, 8, 12288, 2, false, 4 },
	{ { 4096 }, 8, 4096, 1, false, 8 },
	{ { 4096, 20480, 8192 }, 3, 12288, 8, false, 4 },
	{ { 20480, 4096, 4096 }, 3, 12288, 8, false, 3 },
	{ { 512, 1024, 2560 }, 24, 12288, 16, false, 3 },
};

static void cut_done(struct backend_io *io, int err)
{
	struct fb_op *op = container_of(io, struct fb_op, io);

	op->completions++;
	op->err = err;
}

/* The first batch of parts, as they come back. */
static struct {
	void (*forward)(struct ring_op *op, int res, uint32_t flags);
	unsigned int left;
	uint64_t bytes;
	size_t max;
} batch;

static void part_came(struct ring_op *ring_op, int res, uint32_t flags)
{
	struct fb_op *op = container_of(io_of_ring_op(ring_op), struct fb_op, io);

	must(res <= (int)batch.max, "a part has %d bytes, not at most %zu", res, batch.max);
	batch.bytes += res > 0 ? (uint64_t)res : 0;
	if (--batch.left) {
		batch.forward(ring_op, res, flags);
		return;
	}
	ring_op->done = batch.forward;
	batch.forward(ring_op, res, flags);
	ck_assert_uint_le(batch.bytes, op->io.len);
	if (batch.bytes == op->io.len && !op->io.durable)
		ck_assert_msg(op->completions == 1, "what is done is done again");
}

/* Several completions of one operation, unlike what fb_run() watches. */
static int run_cut(struct fb_op *op, unsigned int parts, size_t max)
{
	unsigned int before = fb_ring.uring.sq.sqe_tail;

	op->io.done = cut_done;
	file_io(&op->io)->one_by_one = true; /* as the last request left it */
	backend_submit(fb_backend, &fb_ring, &op->io);
	ck_assert_uint_eq(fb_ring.uring.sq.sqe_tail - before, parts);
	if (parts > 1) {
		batch.forward = file_io(&op->io)->ring_op.done;
		batch.left = parts;
		batch.bytes = 0;
		batch.max = max;
		file_io(&op->io)->ring_op.done = part_came;
	}
	while (!op->completions)
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
	ck_assert_int_eq(ring_run(&fb_ring, false), 0);
	ck_assert_uint_eq(op->completions, 1);
	return op->err;
}

static void set_parts(size_t max, uint32_t pieces)
{
	struct host_file *store = &container_of(fb_backend, struct file_store, base)->file;

	store->part_max = max;
	store->part_pieces = pieces;
}

START_TEST(large_transfer_is_cut_into_what_the_disk_takes)
{
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(cuts[_i].part_max, cuts[_i].part_pieces);
	len = fb_cut_buffer(cuts[_i].count, cuts[_i].lens,
			    cuts[_i].count < 3 || !cuts[_i].lens[1] ? 1 : 3, 0, 512);
	op = fb_make_transfer(BACKEND_WRITE, 8192, len);
	op.io.durable = cuts[_i].durable;
	fb_write_content(&op, len);
	ck_assert_int_eq(run_cut(&op, cuts[_i].parts, cuts[_i].part_max), 0);
	fb_expect_content();
	op = fb_make_transfer(BACKEND_READ, 8192, len);
	op.io.durable = cuts[_i].durable;
	ck_assert_int_eq(run_cut(&op, cuts[_i].parts, cuts[_i].part_max), 0);
	fb_expect_read(&op);
}
END_TEST

/* Steps of a thread, one after the other. */
static const struct {
	size_t lens[3];
	uint32_t count;
	size_t part_max;
	uint32_t part_pieces;
	unsigned int steps;
} thread_cuts[] = {
	{ { 32768 }, 1, 32768, 8, 1 },
	{ { 32768 }, 1, 12288, 8, 3 },
	{ { 4096 }, 8, 12288, 8, 3 },
	{ { 4096 }, 8, 12288, 2, 4 },
	{ { 4096 }, 8, 4096, 1, 8 },
	{ { 4096 }, 8, 32768, 8, 1 },
	{ { 4096, 20480, 8192 }, 3, 12288, 8, 4 },
	{ { 20480, 4096, 4096 }, 3, 12288, 8, 3 },
	{ { 512, 1024, 2560 }, 24, 12288, 16, 3 },
};

static int cut_now;
static uint64_t bytes_of_all;
static unsigned int thread_steps;

static void check_step(const struct store_call *call)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < call->count; i++)
		bytes += call->iov[i].iov_len;
	must(bytes <= thread_cuts[cut_now].part_max, "%zu bytes at a time", bytes);
	must(call->count <= thread_cuts[cut_now].part_pieces ||
		     bytes_of_all <= thread_cuts[cut_now].part_max,
	     "%u pieces at a time", call->count);
	thread_steps++;
}

START_TEST(large_transfer_of_threads_is_cut_as_well)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(thread_cuts[_i].part_max, thread_cuts[_i].part_pieces);
	for (int kind = 0; kind < 2; kind++)
		container_of(fb_backend, struct file_store, base)->no_nowait[kind] = true;
	cut_now = _i;
	bytes_of_all = fb_cut_buffer(thread_cuts[_i].count, thread_cuts[_i].lens,
				     thread_cuts[_i].lens[1] ? 3 : 1, 0, 512);
	fake_store_watch(check_step, NULL);
	for (int kind = BACKEND_WRITE; kind >= BACKEND_READ; kind--) {
		op = fb_make_transfer((enum backend_op)kind, 8192, bytes_of_all);
		if (kind == BACKEND_WRITE)
			fb_write_content(&op, bytes_of_all);
		op.io.done = cut_done;
		thread_steps = 0;
		backend_submit(fb_backend, &fb_ring, &op.io);
		while (!op.completions)
			ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_int_eq(op.err, 0);
		ck_assert_uint_eq(thread_steps, thread_cuts[_i].steps);
		fb_expect_content();
		if (kind == BACKEND_READ)
			fb_expect_read(&op);
	}
	fake_store_watch(NULL, NULL);
}
END_TEST

/* A request of 256 parts, from one page that it names again and again; and a neighbour on the ring. */
START_TEST(hog_has_few_parts_under_way_and_its_neighbour_has_its_turn)
{
	static const size_t page[] = { 4096 };
	struct fb_op hog, neighbour;
	unsigned int tail, turns = 0;
	struct iovec pieces[256];

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(4096, 1);
	fb_cut_buffer(1, page, 1, 0, 0);
	hog = fb_make_transfer(BACKEND_READ, 0, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		pieces[i] = fb_pieces[0];
	hog.io.iov = pieces;
	hog.io.iov_count = ARRAY_SIZE(pieces);
	hog.io.len = sizeof(pieces) / sizeof(pieces[0]) * 4096;
	hog.io.done = cut_done;
	tail = fb_ring.uring.sq.sqe_tail;
	backend_submit(fb_backend, &fb_ring, &hog.io);
	ck_assert_uint_le(fb_ring.uring.sq.sqe_tail - tail, 16);

	fb_cut_buffer(1, page, 1, 8192, 0);
	neighbour = fb_make_transfer(BACKEND_READ, 4096, 4096);
	neighbour.io.done = cut_done;
	backend_submit(fb_backend, &fb_ring, &neighbour.io);
	for (tail = fb_ring.uring.sq.sqe_tail; !hog.completions; turns++) {
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_uint_le(fb_ring.uring.sq.sqe_tail - tail, 16);
		ck_assert_uint_le(file_io(&hog.io)->parts, 16);
		if (turns == 1)
			ck_assert_uint_eq(neighbour.completions, 1);
		tail = fb_ring.uring.sq.sqe_tail;
	}
	ck_assert_int_eq(hog.err, 0);
	ck_assert_int_eq(neighbour.err, 0);
	ck_assert_uint_ge(turns, 256 / 16);
	ck_assert_mem_eq(fb_pieces[0].iov_base, fb_content + FB_SLICE_START + 4096, 4096);
}
END_TEST

/* Each batch is checked: a part in the middle that fails is done again, and nothing before it. */
START_TEST(batches_of_parts_add_up)
{
	static const size_t lens[] = { 4096, 512, 7680, 4096, 12288 };
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(8192, 3);
	len = fb_cut_buffer(150, lens, ARRAY_SIZE(lens), 0, 512);
	for (int kind = BACKEND_WRITE; kind >= BACKEND_READ; kind--) {
		op = fb_make_transfer((enum backend_op)kind, 4096, len);
		if (kind == BACKEND_WRITE)
			fb_write_content(&op, len);
		op.io.done = cut_done;
		backend_submit(fb_backend, &fb_ring, &op.io);
		while (!op.completions)
			ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_int_eq(op.err, 0);
		ck_assert_uint_eq(op.io.done_bytes, len);
		if (kind == BACKEND_READ)
			fb_expect_read(&op);
		fb_expect_content();
	}
}
END_TEST

static unsigned int parts_to_spoil; /* the one that comes as the last of so many */
static int spoilt_result;
static void (*part_forward)(struct ring_op *op, int res, uint32_t flags);

static void spoil_part(struct ring_op *op, int res, uint32_t flags)
{
	if (parts_to_spoil && !--parts_to_spoil)
		res = spoilt_result;
	if (!parts_to_spoil)
		op->done = part_forward;
	part_forward(op, res, flags);
}

static void spoil(struct fb_op *op, unsigned int part, int result)
{
	parts_to_spoil = part;
	spoilt_result = result;
	part_forward = file_io(&op->io)->ring_op.done;
	file_io(&op->io)->ring_op.done = spoil_part;
}

static const int spoilt[] = { -EIO, -EAGAIN, 0, 512, -ECANCELED };

/* Each of four parts fails, or is short; done again as a whole it succeeds. */
START_TEST(parts_that_fail_are_done_again_as_a_whole)
{
	static const size_t lens[] = { 16384 };
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(4096, 8);
	for (unsigned int part = 1; part <= 4; part++) {
		len = fb_cut_buffer(1, lens, 1, 0, 0);
		op = fb_make_transfer(BACKEND_WRITE, 4096 * part, len);
		fb_write_content(&op, len);
		op.io.done = cut_done;
		backend_submit(fb_backend, &fb_ring, &op.io);
		spoil(&op, part, spoilt[_i]);
		while (!op.completions)
			ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_int_eq(op.err, 0);
		ck_assert_uint_eq(op.io.done_bytes, len);
		fb_expect_content();
	}
}
END_TEST

START_TEST(cancelled_parts_end_once)
{
	static const size_t lens[] = { 16384 };
	struct fb_op op;
	uint64_t len;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	set_parts(4096, 8);
	len = fb_cut_buffer(1, lens, 1, 0, 0);
	op = fb_make_transfer(BACKEND_READ, 0, len);
	op.io.done = cut_done;
	backend_submit(fb_backend, &fb_ring, &op.io);
	spoil(&op, 2, -ECANCELED);
	backend_cancel(&op.io);
	while (!op.completions) {
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
		ck_assert_msg(op.completions || file_io(&op.io)->parts,
			      "it goes on with something else");
	}
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ring_run(&fb_ring, false), 0);
	ck_assert_uint_eq(op.completions, 1);
	ck_assert_int_eq(op.err, -ECANCELED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_store_many");
	TCase *tc = suite_case(suite, "many", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, thousand_operations_are_in_flight_on_a_small_ring, 0, FB_CACHES);
	tcase_add_loop_test(tc, done_may_submit_again, 0, 2);
	tcase_add_loop_test(tc, large_transfer_is_cut_into_what_the_disk_takes, 0,
			    ARRAY_SIZE(cuts));
	tcase_add_loop_test(tc, large_transfer_of_threads_is_cut_as_well, 0,
			    ARRAY_SIZE(thread_cuts));
	tcase_add_test(tc, hog_has_few_parts_under_way_and_its_neighbour_has_its_turn);
	tcase_add_test(tc, batches_of_parts_add_up);
	tcase_add_loop_test(tc, parts_that_fail_are_done_again_as_a_whole, 0, ARRAY_SIZE(spoilt));
	tcase_add_test(tc, cancelled_parts_end_once);
	return suite_run(suite);
}
