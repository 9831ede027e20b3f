// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/worker.c: a worker begins and ends. What it does in between is in test_request_path.c. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fds.h"
#include "suite.h"
#include "test_log.h"
#include "threads.h"
#include "queue/worker.h"

static struct polling_place place;
static struct worker workers[2];
static unsigned int fds_before;

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
}

static void teardown(void)
{
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

/* ps and top show them by it; scripts pin them to CPUs. */
START_TEST(worker_has_a_name_of_its_own)
{
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(worker_start(&workers[i], i, &place), 0);
	ck_assert_uint_eq(threads_named("worker-0"), 1);
	ck_assert_uint_eq(threads_named("worker-1"), 1);
	for (unsigned int i = 0; i < 2; i++)
		worker_stop(&workers[i]);
}
END_TEST

START_TEST(worker_without_a_ring_does_not_start)
{
	struct rlimit before, now;
	int next = dup(0), err;

	close(next);
	test_log_expect(LOG_LEVEL_ERROR, "cannot set up an io_uring: Too many open files");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	err = worker_start(&workers[0], 0, &place);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(err, -EMFILE);
	ck_assert_uint_eq(threads_named("worker-0"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *tc = suite_case(suite, "worker", setup, teardown);

	tcase_add_test(tc, worker_has_a_name_of_its_own);
	tcase_add_test(tc, worker_without_a_ring_does_not_start);
	return suite_run(suite);
}
