// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/store/file_rw.c: memory that cannot be pinned, as the kernel's bounce buffer since Linux
 * 6.12.118. It is copied through a staging buffer, from the first EFAULT of a disk on.
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/file_store.h"
#include "file_fixture.h"
#include "places.h"
#include "sigbus.h"
#include "suite.h"
#include "temp_dir.h"

static uint8_t staging[BACKEND_STAGING_SIZE + 1] __attribute__((aligned(4096)));

static struct fb_op make_staged(enum backend_op kind, uint64_t len)
{
	struct fb_op op = fb_make_transfer(kind, 8192, len);

	op.staging = staging;
	staging[BACKEND_STAGING_SIZE] = 0x5a;
	return op;
}

/* A direct store that has seen memory which cannot be pinned. Return: false: none can be had */
static bool open_unpinnable(void)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return false;
	op = make_staged(BACKEND_READ, fb_one_piece(8192));
	op.fakes[0] = -EFAULT;
	test_log_expect(LOG_LEVEL_INFO, "disk0: the kernel's bounce buffer cannot be pinned");
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_str_eq(op.trace, " read-direct staged read-direct");
	fb_expect_read(&op);
	return true;
}

/* Runs it, and compares what it did with an array of bytes. */
static void expect_done(struct fb_op *op, const char *trace)
{
	if (op->io.op == BACKEND_WRITE)
		fb_write_content(op, op->io.len);
	ck_assert_int_eq(fb_run(op), 0);
	ck_assert_str_eq(op->trace, trace);
	if (op->io.op == BACKEND_READ)
		fb_expect_read(op);
	fb_expect_content();
	ck_assert_uint_eq(staging[BACKEND_STAGING_SIZE], 0x5a);
}

START_TEST(data_are_copied_one_staging_buffer_after_the_other)
{
	static const struct {
		uint32_t count;
		size_t lens[4];
		size_t first, gap;
		const char *write, *read;
	} shapes[] = {
		{ 1, { 4096 }, 0, 0, " staged write-direct", " staged read-direct" },
		{ 1, { 65536 }, 0, 0, " staged write-direct", " staged read-direct" },
		{ 1,
		  { 65536 + 4096 },
		  0,
		  0,
		  " staged write-direct staged write-direct",
		  " staged read-direct staged read-direct" },
		/* a staging buffer ends inside of a piece */
		{ 7,
		  { 12288, 4096, 24576, 8192 },
		  4096,
		  4096,
		  " staged write-direct staged write-direct",
		  " staged read-direct staged read-direct" },
		/* neither addresses nor lengths that suit O_DIRECT */
		{ 4, { 1, 8190, 1, 4096 }, 3, 5, " staged write-direct", " staged read-direct" },
	};
	struct fb_op op;
	uint64_t len;

	if (!open_unpinnable())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		len = fb_cut_buffer(shapes[i].count, shapes[i].lens, 4, shapes[i].first,
				    shapes[i].gap);
		op = make_staged(BACKEND_WRITE, len);
		expect_done(&op, shapes[i].write);
		op = make_staged(BACKEND_READ, len);
		expect_done(&op, shapes[i].read);
	}
	op = make_staged(BACKEND_WRITE, fb_one_piece(65536 + 4096));
	op.io.durable = true;
	expect_done(&op, " staged write-direct staged write-direct sync");
}
END_TEST

/* What a disk takes at a time bounds a staging buffer; there are no parts under way together. */
START_TEST(staging_buffer_is_no_larger_than_what_the_disk_takes)
{
	struct fb_op op;

	if (!open_unpinnable())
		return;
	container_of(fb_backend, struct file_store, base)->file.part_max = 16384;
	op = make_staged(BACKEND_WRITE, fb_one_piece(32768 + 4096));
	expect_done(&op, " staged write-direct staged write-direct staged write-direct");
	op = make_staged(BACKEND_READ, fb_one_piece(32768));
	expect_done(&op, " staged read-direct staged read-direct");
}
END_TEST

/* Also where not even the first write found that out. */
START_TEST(transfer_that_fails_is_done_again)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	op = make_staged(_i ? BACKEND_WRITE : BACKEND_READ, fb_one_piece(65536 + 4096));
	op.fakes[0] = -EFAULT;
	expect_done(&op, _i ? " write-direct staged write-direct staged write-direct"
			    : " read-direct staged read-direct staged read-direct");
}
END_TEST

/* On a block, and inside of one: that block is transferred again. */
START_TEST(short_transfer_goes_on_where_it_stopped)
{
	static const struct {
		int end;
		const char *write, *read;
	} shorts[] = {
		{ 4096, " staged write-direct staged write-direct staged write-direct",
		  " staged read-direct staged read-direct staged read-direct" },
		{ 4096 + 100, " staged write-direct staged write-direct staged write-direct",
		  " staged read-direct staged read-direct staged read-direct" },
		{ 100, " staged write-direct staged write-direct staged write-direct",
		  " staged read-direct staged read-direct staged read-direct" },
	};
	struct fb_op op;
	uint64_t len;

	if (!open_unpinnable())
		return;
	for (int kind = BACKEND_READ; kind <= BACKEND_WRITE; kind++) {
		len = fb_one_piece(65536);
		op = make_staged((enum backend_op)kind, len);
		op.fakes[0] = shorts[_i].end;
		op.fakes[1] = -EAGAIN;
		expect_done(&op, kind == BACKEND_WRITE ? shorts[_i].write : shorts[_i].read);
	}
}
END_TEST

/* The store's own error, and memory that is nowhere at all. */
START_TEST(failure_is_an_error_and_no_reason_to_go_on)
{
	static const int errors[] = { -EIO, -EFAULT };
	struct fb_op op;

	if (!open_unpinnable())
		return;
	op = make_staged(BACKEND_READ, fb_one_piece(65536 + 4096));
	op.fakes[1] = errors[_i];
	ck_assert_int_eq(fb_run(&op), errors[_i]);
	ck_assert_str_eq(op.trace, " staged read-direct staged read-direct");
}
END_TEST

START_TEST(store_that_was_truncated_has_no_data)
{
	struct fb_op op;

	if (!open_unpinnable())
		return;
	ck_assert_int_eq(ftruncate(fb_plain_fd, FB_SLICE_START + 8192 + BACKEND_STAGING_SIZE), 0);
	op = make_staged(BACKEND_READ, fb_one_piece(BACKEND_STAGING_SIZE + 4096));
	ck_assert_int_eq(fb_run(&op), -ENODATA);
	ck_assert_str_eq(op.trace, " staged read-direct staged read-direct");
}
END_TEST

static void cancel(struct fb_op *op)
{
	op->io.cancelled = true;
}

START_TEST(cancelled_transfer_does_not_go_on)
{
	struct fb_op op;

	if (!open_unpinnable())
		return;
	op = make_staged(BACKEND_WRITE, fb_one_piece(3 * BACKEND_STAGING_SIZE));
	op.between = cancel;
	fb_write_content(&op, 2 * BACKEND_STAGING_SIZE);
	ck_assert_int_eq(fb_run(&op), -ECANCELED);
	ck_assert_str_eq(op.trace, " staged write-direct staged write-direct");
	fb_expect_content();
}
END_TEST

/* It is written as a whole, and nobody waits for a sync. */
START_TEST(cancelled_transfer_is_not_made_durable)
{
	struct fb_op op;

	if (!open_unpinnable())
		return;
	op = make_staged(BACKEND_WRITE, fb_one_piece(BACKEND_STAGING_SIZE + 4096));
	op.between = cancel;
	op.io.durable = true;
	fb_write_content(&op, BACKEND_STAGING_SIZE + 4096);
	ck_assert_int_eq(fb_run(&op), -ECANCELED);
	ck_assert_str_eq(op.trace, " staged write-direct staged write-direct");
	fb_expect_content();
}
END_TEST

START_TEST(without_a_staging_buffer_it_stays_an_error)
{
	struct fb_op op;

	if (!open_unpinnable())
		return;
	op = fb_make_transfer(BACKEND_READ, 0, fb_one_piece(4096));
	op.no_stage = true;
	ck_assert_int_eq(fb_run(&op), -ENOMEM);
	ck_assert_str_eq(op.trace, "");
}
END_TEST

/* A driver's memory that was truncated: the copy sees zeroes, which must not be written. */
START_TEST(staging_of_missing_memory_fails_and_writes_nothing)
{
	int fd = memfd_create("driver", MFD_CLOEXEC);
	struct iovec piece = { .iov_len = 4096 };
	struct fb_op op;
	uint8_t *addr;

	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	ck_assert_int_eq(sigbus_guard_install(), 0);
	sigbus_guard_thread();
	ck_assert_int_eq(ftruncate(fd, 8192), 0);
	addr = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(addr, MAP_FAILED);
	ck_assert_int_eq(sigbus_guard_range(addr, 8192), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	close(fd);
	piece.iov_base = addr + 1; /* which O_DIRECT refuses */
	op = make_staged(_i ? BACKEND_WRITE : BACKEND_READ, fb_one_piece(4096));
	op.io.iov = &piece;
	ck_assert_int_eq(fb_run(&op), -EFAULT);
	ck_assert_str_eq(op.trace, _i ? "" : " staged read-direct");
	fb_expect_content();
	ck_assert(sigbus_seen()); /* for the queue */
	sigbus_unguard_range(addr);
	munmap(addr, 8192);
}
END_TEST

/* EFAULT of a virtual machine's memory is an error: what is missing cannot be copied either. */
START_TEST(memory_of_a_machine_that_is_missing_is_an_error)
{
	struct fb_op op;

	fb_config.driver = DRIVER_VHOST_VDPA;
	if (!fb_open_place(DISK, CACHE_AUTO) || !can_direct(fb_config.path))
		return;
	for (int i = 0; i < 2; i++) {
		op = make_staged(BACKEND_READ, fb_one_piece(4096));
		op.fakes[0] = -EFAULT;
		ck_assert_int_eq(fb_run(&op), -EFAULT);
		ck_assert_str_eq(op.trace, " read-direct");
	}
}
END_TEST

/* There the kernel copies by itself. */
START_TEST(page_cache_needs_no_staging_buffer)
{
	struct fb_op op;

	if (!fb_open_place(DISK, CACHE_WRITEBACK))
		return;
	op = make_staged(BACKEND_READ, fb_one_piece(4096));
	op.fakes[0] = -EFAULT;
	ck_assert_int_eq(fb_run(&op), -EFAULT);
	ck_assert_str_eq(op.trace, " read");
}
END_TEST

/* Secret memory is like that by nature. Linux 5.14, and not everywhere. */
START_TEST(real_memory_that_cannot_be_pinned_is_copied)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);
	struct iovec piece = { .iov_len = 8192 };
	struct fb_op op;

	if (fd < 0 || ftruncate(fd, 8192))
		return;
	piece.iov_base = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (piece.iov_base == MAP_FAILED || !fb_open_place(DISK, CACHE_AUTO) ||
	    !can_direct(fb_config.path))
		return;
	op = make_staged(BACKEND_WRITE, fb_one_piece(8192));
	memcpy(piece.iov_base, fb_pieces[0].iov_base, 8192);
	op.io.iov = &piece;
	expect_done(&op, " write-direct staged write-direct");

	memset(piece.iov_base, 0, 8192);
	op = make_staged(BACKEND_READ, fb_one_piece(8192));
	op.io.iov = &piece;
	ck_assert_int_eq(fb_run(&op), 0);
	ck_assert_mem_eq(piece.iov_base, fb_content + FB_SLICE_START + 8192, 8192);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_store_staging");
	TCase *tc = suite_case(suite, "staging", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, data_are_copied_one_staging_buffer_after_the_other);
	tcase_add_test(tc, staging_buffer_is_no_larger_than_what_the_disk_takes);
	tcase_add_loop_test(tc, transfer_that_fails_is_done_again, 0, 2);
	tcase_add_loop_test(tc, short_transfer_goes_on_where_it_stopped, 0, 3);
	tcase_add_loop_test(tc, failure_is_an_error_and_no_reason_to_go_on, 0, 2);
	tcase_add_test(tc, store_that_was_truncated_has_no_data);
	tcase_add_test(tc, cancelled_transfer_does_not_go_on);
	tcase_add_test(tc, cancelled_transfer_is_not_made_durable);
	tcase_add_test(tc, without_a_staging_buffer_it_stays_an_error);
	tcase_add_loop_test(tc, staging_of_missing_memory_fails_and_writes_nothing, 0, 2);
	tcase_add_test(tc, memory_of_a_machine_that_is_missing_is_an_error);
	tcase_add_test(tc, page_cache_needs_no_staging_buffer);
	tcase_add_test(tc, real_memory_that_cannot_be_pinned_is_copied);
	return suite_run(suite);
}
