// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/store_health.c: few log lines for many errors, and one when the store works again. */
#include <check.h>
#include <errno.h>
#include <pthread.h>

#include "store/store_health.h"
#include "suite.h"
#include "test_log.h"

#define S (1000ull * 1000 * 1000)

static struct store_health health;

static void setup(void)
{
	test_log_begin();
	store_health_init(&health, "disk0");
}

static void teardown(void)
{
	test_log_end();
}

static void fails(enum backend_op op, int err, uint64_t now_s)
{
	struct backend_io io = { .op = op, .offset = 4096, .len = 512 };

	store_health_failed(&health, &io, err, 3, "; more", now_s * S);
}

static void works(enum backend_op op, uint64_t now_s)
{
	ck_assert(store_health_fails(&health, op));
	store_health_worked_slow(&health, op, now_s * S);
}

START_TEST(first_error_is_a_line_and_the_others_are_counted)
{
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: queue 3: write of 512 bytes at 4096: Input/output error; more");
	for (int i = 0; i < 1000; i++)
		fails(BACKEND_WRITE, i % 2 ? -ENOSPC : -EIO, 100);
	ck_assert(!store_health_fails(&health, BACKEND_READ));
	ck_assert_uint_eq(test_log_count("disk0"), 1);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: write: 999 more errors of the store");
	store_health_exit(&health);
}
END_TEST

START_TEST(each_minute_has_a_count)
{
	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 3: flush: Input/output error; more");
	for (uint64_t s = 0; s < 60; s++)
		fails(BACKEND_FLUSH, -EIO, 100 + s);
	ck_assert_uint_eq(test_log_count("disk0"), 1);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: flush: 60 more errors of the store");
	fails(BACKEND_FLUSH, -EIO, 160);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: flush: 2 more errors of the store");
	fails(BACKEND_FLUSH, -EIO, 161);
	fails(BACKEND_FLUSH, -EIO, 220);
	store_health_exit(&health);
}
END_TEST

/* Five seconds without an error: a bad block among good ones is no store that works. */
START_TEST(store_that_works_again_is_a_line)
{
	test_log_expect(LOG_LEVEL_ERROR, "write of 512 bytes");
	fails(BACKEND_WRITE, -EIO, 100);
	works(BACKEND_WRITE, 101);
	fails(BACKEND_WRITE, -EIO, 103);
	works(BACKEND_WRITE, 107);
	ck_assert_uint_eq(test_log_count("disk0"), 1);
	works(BACKEND_WRITE, 108);
	ck_assert_uint_eq(
		test_log_count("disk0: write: the store works again, after 2 errors in 3 s"), 1);
	ck_assert(!store_health_fails(&health, BACKEND_WRITE));
	/* Another worker saw it as well. */
	store_health_worked_slow(&health, BACKEND_WRITE, 109 * S);
	ck_assert_uint_eq(test_log_count("disk0"), 2);
	test_log_expect(LOG_LEVEL_ERROR, "write of 512 bytes");
	fails(BACKEND_WRITE, -EIO, 110);
	store_health_exit(&health);
}
END_TEST

START_TEST(each_kind_of_operation_fails_for_itself)
{
	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 3: write of 512");
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: queue 3: read of 512 bytes at 4096: the store was truncated");
	fails(BACKEND_WRITE, -EIO, 100);
	fails(BACKEND_READ, -ENODATA, 100);
	works(BACKEND_READ, 106);
	ck_assert(store_health_fails(&health, BACKEND_WRITE));
	ck_assert(!store_health_fails(&health, BACKEND_READ));
	store_health_exit(&health);
}
END_TEST

START_TEST(counts_of_all_operations_are_logged_at_the_end)
{
	static const char *const counts[] = {
		[BACKEND_READ] = "disk0: read: 2 more errors of the store",
		[BACKEND_WRITE] = "disk0: write: 3 more errors of the store",
		[BACKEND_FLUSH] = "disk0: flush: 4 more errors of the store",
		[BACKEND_DISCARD] = "disk0: discard: 5 more errors of the store",
		[BACKEND_WRITE_ZEROES] = "disk0: write zeroes: 6 more errors of the store",
	};

	for (unsigned int op = 0; op < ARRAY_SIZE(counts); op++) {
		test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 3: ");
		for (unsigned int i = 0; i < 3 + op; i++)
			fails(op, -EIO, 100);
		test_log_expect(LOG_LEVEL_ERROR, counts[op]);
	}
	store_health_exit(&health);
}
END_TEST

#define MANY	20000
#define THREADS 4

static pthread_barrier_t barrier;

static void *fail_often(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < MANY; i++) {
		fails(BACKEND_READ, -EIO, 100);
		store_health_worked_slow(&health, BACKEND_READ, 100 * S);
	}
	return NULL;
}

/* Several workers report errors of one store at the same time. */
START_TEST(errors_of_all_threads_are_counted)
{
	pthread_t threads[THREADS];

	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 3: read of 512");
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_often, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(health.ops[BACKEND_READ].errors, THREADS * MANY);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: read: 79999 more errors of the store");
	store_health_exit(&health);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_health");
	TCase *tc = suite_case(suite, "store_health", setup, teardown);

	tcase_add_test(tc, first_error_is_a_line_and_the_others_are_counted);
	tcase_add_test(tc, each_minute_has_a_count);
	tcase_add_test(tc, store_that_works_again_is_a_line);
	tcase_add_test(tc, each_kind_of_operation_fails_for_itself);
	tcase_add_test(tc, counts_of_all_operations_are_logged_at_the_end);
	tcase_add_test(tc, errors_of_all_threads_are_counted);
	return suite_run(suite);
}
