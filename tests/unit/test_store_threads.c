// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/store_threads.c and store_pool.c: threads of a store that cannot be had, or not yet. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fake_store_kern.h"
#include "file_fixture.h"
#include "guest.h"
#include "suite.h"
#include "temp_dir.h"
#include "threads.h"

static struct rlimit before;

static void limit(int what, rlim_t value)
{
	struct rlimit now;

	ck_assert_int_eq(getrlimit((__rlimit_resource_t)what, &before), 0);
	now = (struct rlimit){ .rlim_cur = value, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit((__rlimit_resource_t)what, &now), 0);
}

static void lift_limit(int what)
{
	ck_assert_int_eq(setrlimit((__rlimit_resource_t)what, &before), 0);
}

static void wait_for_line(const char *part)
{
	while (!test_log_count(part))
		sched_yield();
}

static void op_done(struct backend_io *io, int err)
{
	struct fb_op *op = container_of(io, struct fb_op, io);

	op->completions++;
	op->err = err;
}

static void submit_flush_on(struct ring *ring, struct fb_op *op)
{
	*op = fb_make_op(BACKEND_FLUSH, 0, 0);
	op->io.done = op_done;
	backend_submit(fb_backend, ring, &op->io);
}

static void submit_flush(struct fb_op *op)
{
	submit_flush_on(&fb_ring, op);
}

static int finish_on(struct ring *ring, struct fb_op *op)
{
	while (!op->completions)
		ck_assert_int_eq(ring_run(ring, true), 0);
	return op->err;
}

static int finish(struct fb_op *op)
{
	return finish_on(&fb_ring, op);
}

static void forbid_pidfd_getfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* As the default profile of container engines does. */
START_TEST(sandbox_without_pidfd_getfd_serves_all_the_same)
{
	struct fb_op op;

	forbid_pidfd_getfd();
	test_log_expect(LOG_LEVEL_WARNING, "pidfd_getfd: Operation not permitted");
	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	for (int i = 0; i < 3; i++) {
		op = fb_make_op(BACKEND_WRITE_ZEROES, 4096 * i, 4096);
		op.io.durable = true;
		fb_zero_content(&op);
		ck_assert_int_eq(fb_run(&op), 0);
		fb_expect_content();
	}
}
END_TEST

/* An operation that meets such a thread fails, and no later one does. The section may be freed by then. */
START_TEST(thread_that_gets_no_descriptors_tries_again)
{
	struct fb_op op;

	fb_config.name = strdup("disk0");
	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	memset(fb_config.name, '?', strlen(fb_config.name));
	free(fb_config.name);
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: a thread of the store cannot fetch its descriptors: Too");
	test_log_allow(LOG_LEVEL_ERROR,
		       "disk0: cannot send a completion to the worker: Too many open");
	limit(RLIMIT_NOFILE, 4); /* what a new thread has, and one more */
	submit_flush(&op);
	wait_for_line("cannot send a completion");
	lift_limit(RLIMIT_NOFILE);
	ck_assert_int_eq(finish(&op), -EMFILE);
	submit_flush(&op);
	ck_assert_int_eq(finish(&op), 0);
	op = fb_make_op(BACKEND_WRITE_ZEROES, 4096, 4096);
	fb_zero_content(&op);
	ck_assert_int_eq(fb_run(&op), 0);
	fb_expect_content();
}
END_TEST

/* One operation at a time needs one thread, which stays for the next one. */
START_TEST(operations_one_after_the_other_share_a_thread)
{
	struct fb_op op;

	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	for (int i = 0; i < 20; i++) {
		op = _i ? fb_make_op(BACKEND_WRITE_ZEROES, 4096, 4096)
			: fb_make_op(BACKEND_FLUSH, 0, 0);
		op.io.done = op_done;
		backend_submit(fb_backend, &fb_ring, &op.io);
		ck_assert_int_eq(finish(&op), 0);
		ck_assert_uint_eq(threads_named("store"), 1);
	}
}
END_TEST

/* Queues of several workers share the threads of a store. */
START_TEST(completion_comes_on_the_ring_of_its_operation)
{
	static struct ring other; /* outlives the store */
	struct fb_op op;

	ck_assert_int_eq(ring_init(&other, 8), 0);
	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	for (int i = 0; i < 4; i++) {
		struct ring *ring = i % 2 ? &other : &fb_ring;

		submit_flush_on(ring, &op);
		ck_assert_int_eq(finish_on(ring, &op), 0);
	}
	backend_close(fb_backend);
	fb_backend = NULL;
	ring_exit(&other);
}
END_TEST

static unsigned int descriptors; /* of the thread that made the last call */

static void count_descriptors(const struct store_call *call)
{
	DIR *dir = opendir("/proc/thread-self/fd");

	(void)call;
	for (descriptors = 0; readdir(dir);)
		descriptors++;
	closedir(dir);
}

START_TEST(thread_keeps_no_more_descriptors_with_each_operation)
{
	unsigned int after_the_first = 0;
	struct fb_op op;

	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	fake_store_watch(count_descriptors, NULL);
	for (int i = 0; i < 10; i++) {
		submit_flush(&op);
		ck_assert_int_eq(finish(&op), 0);
		if (i == 1)
			after_the_first = descriptors;
	}
	ck_assert_uint_le(descriptors, after_the_first);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

START_TEST(thread_that_cannot_be_started_is_tried_again)
{
	struct fb_op op;

	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	test_log_expect(LOG_LEVEL_ERROR, "cannot start a thread for a store");
	limit(RLIMIT_AS, 0);
	submit_flush(&op);
	wait_for_line("cannot start a thread");
	ck_assert_uint_eq(op.completions, 0);
	lift_limit(RLIMIT_AS);
	ck_assert_int_eq(finish(&op), 0);
}
END_TEST

START_TEST(store_closes_while_its_thread_cannot_be_started)
{
	struct fb_op op;

	ck_assert(fb_open_place(DISK, CACHE_WRITEBACK));
	test_log_expect(LOG_LEVEL_ERROR, "cannot start a thread for a store");
	limit(RLIMIT_AS, 0);
	submit_flush(&op);
	wait_for_line("cannot start a thread");
	backend_cancel(&op.io);
	ck_assert_int_eq(finish(&op), -ECANCELED);
	backend_close(fb_backend);
	lift_limit(RLIMIT_AS);
	ck_assert_int_eq(store_type_file.open(&fb_config, 0, &fb_backend), 0);
	submit_flush(&op);
	ck_assert_int_eq(finish(&op), 0);
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("store_threads");
	TCase *tc = suite_case(suite, "threads", fb_setup, fb_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, sandbox_without_pidfd_getfd_serves_all_the_same);
	tcase_add_loop_test(tc, operations_one_after_the_other_share_a_thread, 0, 2);
	tcase_add_test(tc, completion_comes_on_the_ring_of_its_operation);
	tcase_add_test(tc, thread_keeps_no_more_descriptors_with_each_operation);
	tcase_add_test(tc, thread_that_gets_no_descriptors_tries_again);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_test(tc, thread_that_cannot_be_started_is_tried_again);
	tcase_add_test(tc, store_closes_while_its_thread_cannot_be_started);
#endif
	return suite_run(suite);
}
