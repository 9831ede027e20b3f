// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/iotlb.c: many regions in any order, many views at the same time. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "iotlb_fixture.h"
#include "suite.h"

/* Random maps and drops over a patchwork of regions, against a list that is searched from end to
 * end. */
START_TEST(agrees_with_a_naive_table)
{
	uint64_t at = 0;

	srandom(_i + 1);
	while (at < 20000) {
		uint64_t len = 1 + (uint64_t)random() % 50;

		if (random() % 4)
			tl_source_add(at, at + len - 1, RW);
		at += len;
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t iova = (uint64_t)random() % 20000;
		size_t want = 1 + (size_t)random() % 80;
		unsigned int k = 0;

		if (random() % 100 == 0) {
			iotlb_drop(&tl_tlb, iova, iova + want - 1);
			for (k = 0; k < tl_source.count; k++) {
				const struct iotlb_region *r = &tl_source.entries[k].region;

				if (r->start <= iova + want - 1 && r->last >= iova)
					ck_assert_uint_eq(tl_source.entries[k].live, 0);
			}
			continue;
		}
		while (k < tl_source.count && (tl_source.entries[k].region.start > iova ||
					       tl_source.entries[k].region.last < iova))
			k++;
		if (k == tl_source.count) {
			tl_expect_fail(iova, want, RW, -EFAULT);
		} else {
			const struct iotlb_region *r = &tl_source.entries[k].region;

			tl_expect_map(iova, want, RW, r->addr + (iova - r->start),
				      MIN(want, r->last - iova + 1));
			ck_assert_uint_eq(tl_source.entries[k].live, 1);
		}
	}
}
END_TEST

/* Threads, each with its own view, over the same regions; the last one comes and goes meanwhile. */
#define THREADS	       2
#define SHARED_REGIONS 64

static atomic_bool threads_go_on = true;

static void *look_at_regions(void *arg)
{
	struct iotlb_view mine;
	unsigned long wrong = 0;
	uint64_t iova = (uint64_t)(uintptr_t)arg;

	iotlb_view_init(&mine, &tl_tlb);
	while (atomic_load(&threads_go_on)) {
		size_t len = 2;
		void *at;

		iova = (iova * 13 + 7) % SHARED_REGIONS;
		if (iotlb_map(&mine, iova, &len, RW, &at) || len != 1 || at != &tl_memory[2 * iova])
			wrong++;
		/* and once more, through the hint */
		if (iotlb_map(&mine, iova, &len, RW, &at) || at != &tl_memory[2 * iova])
			wrong++;
	}
	iotlb_view_exit(&mine);
	return (void *)wrong;
}

START_TEST(views_work_at_the_same_time)
{
	pthread_t threads[THREADS];

	for (uint64_t i = 0; i <= SHARED_REGIONS; i++)
		tl_source_add_at(i, i, RW, &tl_memory[2 * i]);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, look_at_regions, (void *)i), 0);
	for (int i = 0; i < 3000; i++) {
		tl_expect_map(SHARED_REGIONS, 1, RO, &tl_memory[2 * SHARED_REGIONS], 1);
		iotlb_drop(&tl_tlb, SHARED_REGIONS, UINT64_MAX);
	}
	atomic_store(&threads_go_on, false);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_le(tl_source.fills, SHARED_REGIONS + 3000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iotlb_many");
	TCase *tc = suite_case(suite, "many", tl_setup, tl_teardown);

	tcase_add_loop_test(tc, agrees_with_a_naive_table, 0, 3);
	tcase_add_test(tc, views_work_at_the_same_time);
	return suite_run(suite);
}
