// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/iotlb.c against a source of regions that counts, fails and lies. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "iotlb.h"
#include "suite.h"
#include "test_log.h"

#define RO PROT_READ
#define WO PROT_WRITE
#define RW (PROT_READ | PROT_WRITE)

#define LIMIT	   4096 /* regions in one table, as in lib/iotlb.c */
#define SOURCE_MAX (LIMIT + 16)

/* Where regions come from. A hidden one is given only as a lie. */
static struct source {
	struct {
		struct iotlb_region region;
		unsigned int live;
		bool hidden;
	} entries[SOURCE_MAX];
	unsigned int count;
	unsigned int fills; /* successful ones */
	unsigned int releases;
	unsigned int misuses; /* filled while filled, or released while not */
	int error;	      /* of the next fill */
	int lie;	      /* entry that every fill answers with, or -1 */
} source;

static struct iotlb tlb;
static struct iotlb_view view;
static uint8_t memory[1 << 20];

static int source_fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	struct source *s = ctx;
	int error = s->error;

	s->error = 0;
	if (error)
		return error;
	for (unsigned int i = 0; i < s->count; i++) {
		const struct iotlb_region *r = &s->entries[i].region;

		if (s->lie >= 0 ? (int)i != s->lie
				: s->entries[i].hidden || iova < r->start || iova > r->last)
			continue;
		s->misuses += s->entries[i].live++;
		s->fills++;
		*region = *r;
		return 0;
	}
	return -EFAULT;
}

static void source_release(void *ctx, const struct iotlb_region *region)
{
	struct source *s = ctx;

	s->releases++;
	for (unsigned int i = 0; i < s->count; i++)
		if (!memcmp(&s->entries[i].region, region, sizeof(*region)) && s->entries[i].live) {
			s->entries[i].live--;
			return;
		}
	s->misuses++;
}

static const struct iotlb_ops source_ops = { .fill = source_fill, .release = source_release };

static int source_add_at(uint64_t start, uint64_t last, int prot, uint8_t *addr)
{
	struct iotlb_region *r = &source.entries[source.count].region;

	ck_assert_uint_lt(source.count, SOURCE_MAX);
	memset(r, 0, sizeof(*r));
	r->start = start;
	r->last = last;
	r->addr = addr;
	r->prot = prot;
	return (int)source.count++;
}

/* Memory of neighbours in IOVA is not adjacent: a gap of one byte lies between. */
static uint8_t *source_add(uint64_t start, uint64_t last, int prot)
{
	static size_t next;
	uint8_t *addr = &memory[next];

	next += last - start + 2;
	ck_assert_uint_le(next, sizeof(memory));
	source_add_at(start, last, prot, addr);
	return addr;
}

static uint8_t *source_addr(int entry, uint64_t iova)
{
	const struct iotlb_region *r = &source.entries[entry].region;

	return r->addr + (iova - r->start);
}

static void setup(void)
{
	test_log_begin();
	source.lie = -1;
	iotlb_init(&tlb, &source_ops, &source);
	iotlb_view_init(&view, &tlb);
}

/* Whatever a test did: each fill is released exactly once. */
static void teardown(void)
{
	iotlb_view_exit(&view);
	iotlb_exit(&tlb);
	ck_assert_uint_eq(source.fills, source.releases);
	ck_assert_uint_eq(source.misuses, 0);
	test_log_end();
}

static void expect_map(uint64_t iova, size_t len, int prot, const void *addr, size_t got)
{
	void *at = NULL;

	ck_assert_int_eq(iotlb_map(&view, iova, &len, prot, &at), 0);
	ck_assert_ptr_eq(at, addr);
	ck_assert_uint_eq(len, got);
}

static void expect_fail(uint64_t iova, size_t len, int prot, int err)
{
	size_t left = len;
	void *at = &source;

	ck_assert_int_eq(iotlb_map(&view, iova, &left, prot, &at), err);
	ck_assert_ptr_eq(at, &source); /* untouched */
	ck_assert_uint_eq(left, len);
}

/* Makes the next map go past the hint, but not past the table. */
static void forget_hint(void)
{
	view.hint = (struct iotlb_region){ .start = 1, .last = 0 };
}

START_TEST(first_look_fills_and_later_ones_hit)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW);

	expect_map(0x1000, 16, RO, a, 16);
	expect_map(0x1ff0, 16, WO, a + 0xff0, 16);
	forget_hint();
	expect_map(0x1800, 1, RW, a + 0x800, 1);
	ck_assert_uint_eq(source.fills, 1);
}
END_TEST

START_TEST(length_shrinks_to_what_is_contiguous)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW), *b = source_add(0x2000, 0x2fff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		expect_map(0x1000, 0x1000, RO, a, 0x1000);
		expect_map(0x1000, 0x1001, RO, a, 0x1000);
		expect_map(0x1fff, 100, RO, a + 0xfff, 1);
		expect_map(0x1800, SIZE_MAX / 2, RO, a + 0x800, 0x800);
		if (!hinted)
			expect_map(0x2000, 100, RO, b, 100);
	}
	ck_assert_uint_eq(source.fills, 2);
}
END_TEST

START_TEST(regions_take_turns_without_filling_again)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW), *b = source_add(0x2000, 0x2fff, RW);
	uint8_t *c = source_add(0x8000, 0x8000, RW);

	for (int i = 0; i < 3; i++) {
		expect_map(0x2fff, 1, RO, b + 0xfff, 1);
		expect_map(0x1fff, 1, RO, a + 0xfff, 1);
		expect_map(0x8000, 1, RO, c, 1);
		expect_map(0x2000, 1, RO, b, 1);
	}
	ck_assert_uint_eq(source.fills, 3);
}
END_TEST

/* A lock that is held already would stop us for ever. */
START_TEST(hit_takes_no_lock)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW), *b = source_add(0x2000, 0x2fff, RW);

	expect_map(0x1000, 1, RO, a, 1);
	expect_map(0x2000, 1, RO, b, 1);
	ck_assert_uint_eq(view.hint.start, 0x2000); /* where the next look goes first */
	pthread_mutex_lock(&tlb.lock);
	expect_map(0x2010, 1, RO, b + 0x10, 1);
	expect_map(0x1010, 1, RO, a + 0x10, 1);
	ck_assert_uint_eq(view.hint.start, 0x1000);
	expect_fail(0x1000, 0, RO, -EFAULT);
	expect_fail(0x1000, SIZE_MAX, RO, -EFAULT);
	pthread_mutex_unlock(&tlb.lock);
}
END_TEST

START_TEST(failed_fill_is_passed_up_and_not_remembered)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW);

	expect_fail(0x5000, 1, RO, -EFAULT);
	source.error = -ENOMEM;
	expect_fail(0x1000, 1, RO, -ENOMEM);
	ck_assert_uint_eq(tlb.table.count, 0);
	expect_map(0x1000, 1, RO, a, 1);

	/* a failed miss does no harm to what is mapped */
	source.error = -EPERM;
	expect_fail(0x2000, 1, RO, -EPERM);
	expect_map(0x1001, 1, RO, a + 1, 1);
	ck_assert_uint_eq(source.fills, 1);
}
END_TEST

static const struct {
	uint64_t start, last;
} insane[] = {
	/* asked for 0x3000, with 0x2000-0x2fff and 0x4000-0x4fff in the table */
	{ 0x3001, 0x3fff }, /* begins behind it */
	{ 0x5000, 0x5fff }, /* elsewhere, free */
	{ 0x1000, 0x1fff }, /* elsewhere, before */
	{ 0x3fff, 0x3000 }, /* upside down around it */
	{ 0x3800, 0x2fff }, /* upside down */
	{ 0x2fff, 0x3fff }, /* overlaps the left one by a byte */
	{ 0x3000, 0x4000 }, /* overlaps the right one by a byte */
	{ 0x2000, 0x3fff }, /* swallows the left one */
	{ 0x1000, 0x5fff }, /* swallows both */
	{ 0x2800, 0x4800 }, { 0, UINT64_MAX },
};

START_TEST(insane_region_is_refused_and_released)
{
	uint8_t *left = source_add(0x2000, 0x2fff, RW), *right = source_add(0x4000, 0x4fff, RW);

	expect_map(0x2000, 1, RO, left, 1);
	expect_map(0x4000, 1, RO, right, 1);

	source.lie = source_add_at(insane[_i].start, insane[_i].last, RW, memory);
	source.entries[source.lie].hidden = true;
	expect_fail(0x3000, 1, RO, -EFAULT);
	ck_assert_uint_eq(source.fills, 3);
	ck_assert_uint_eq(source.releases, 1);
	ck_assert_uint_eq(tlb.table.count, 2);

	source.lie = -1;
	expect_map(0x2fff, 1, RO, left + 0xfff, 1);
	expect_map(0x4000, 1, RO, right, 1);
	expect_map(0x3000, 1, RO, source_add(0x3000, 0x3fff, RW), 1);
}
END_TEST

static const struct {
	uint64_t start, last;
	unsigned int gone; /* bit per region 0x1000-0x1fff, 0x2000-0x2fff, 0x5000-0x5000 */
} drops[] = {
	{ 0, 0xfff, 0 },	   { 0, 0x1000, 1 },
	{ 0x1000, 0x1000, 1 },	   { 0x1fff, 0x1fff, 1 },
	{ 0x1800, 0x1900, 1 },	   { 0x1000, 0x1fff, 1 },
	{ 0x1fff, 0x2000, 3 },	   { 0x2000, 0x2000, 2 },
	{ 0x2fff, 0x4fff, 2 },	   { 0x3000, 0x4fff, 0 },
	{ 0x3000, 0x5000, 4 },	   { 0x5000, UINT64_MAX, 4 },
	{ 0x5001, UINT64_MAX, 0 }, { 0x1000, 0x5000, 7 },
	{ 0, UINT64_MAX, 7 },	   { UINT64_MAX, UINT64_MAX, 0 },
};

START_TEST(drop_takes_every_region_it_touches_and_no_other)
{
	uint64_t at[] = { 0x1234, 0x2fff, 0x5000 };
	unsigned int gone = 0;

	source_add(0x1000, 0x1fff, RW);
	source_add(0x2000, 0x2fff, RW);
	source_add(0x5000, 0x5000, RW);
	for (int i = 0; i < 3; i++)
		expect_map(at[i], 1, RO, source_addr(i, at[i]), 1);

	iotlb_drop(&tlb, drops[_i].start, drops[_i].last);
	for (unsigned int i = 0; i < 3; i++)
		gone |= source.entries[i].live ? 0 : 1u << i;
	ck_assert_uint_eq(gone, drops[_i].gone);

	for (int i = 0; i < 3; i++)
		expect_map(at[i], 1, RO, source_addr(i, at[i]), 1);
	ck_assert_uint_eq(source.fills, 3u + (unsigned int)__builtin_popcount(gone));
}
END_TEST

START_TEST(every_view_notices_a_drop)
{
	struct iotlb_view other;
	size_t len = 1;
	void *at;

	iotlb_view_init(&other, &tlb);
	source_add_at(0x1000, 0x1fff, RW, memory);
	expect_map(0x1000, 1, RO, memory, 1);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), 0);
	ck_assert_ptr_eq(at, memory + 1);
	if (_i)
		forget_hint(); /* the private table must go stale as well */

	iotlb_drop(&tlb, 0, UINT64_MAX);
	source.entries[0].region.addr = memory + 0x4000; /* moves */
	expect_map(0x1000, 1, RO, memory + 0x4000, 1);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), 0);
	ck_assert_ptr_eq(at, memory + 0x4001);
	ck_assert_uint_eq(source.fills, 2); /* the second view found it in the table */

	iotlb_drop(&tlb, 0x1fff, 0x1fff);
	source.count = 0;
	expect_fail(0x1000, 1, RO, -EFAULT);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), -EFAULT);
	iotlb_view_exit(&other);
}
END_TEST

/* A look that fails brings the view up to date, and must not revive what it remembered before. */
START_TEST(refused_look_after_a_drop_forgets_the_hint)
{
	uint8_t *ro = source_add(0x8000, 0x8fff, RO);

	source_add_at(0x1000, 0x1fff, RW, memory + 0x40000);
	expect_map(0x8000, 1, RO, ro, 1);
	expect_map(0x1000, 1, RO, memory + 0x40000, 1);
	iotlb_drop(&tlb, 0x1000, 0x1000);
	source.entries[1].region.addr = memory + 0x50000; /* moves */
	expect_fail(0x8000, 1, WO, -EFAULT);
	expect_map(0x1000, 1, RO, memory + 0x50000, 1);
}
END_TEST

START_TEST(view_of_a_table_in_use_begins_with_what_is_there)
{
	uint8_t *a = source_add(0x1000, 0x1fff, RW);

	expect_map(0x1000, 1, RO, a, 1);
	iotlb_view_exit(&view);
	iotlb_view_init(&view, &tlb);
	expect_map(0x1010, 1, RO, a + 0x10, 1);
	ck_assert_uint_eq(source.fills, 1);
}
END_TEST

START_TEST(permission_is_checked_on_every_path)
{
	uint8_t *ro = source_add(0x1000, 0x1fff, RO), *wo = source_add(0x2000, 0x2fff, WO);

	source_add(0x3000, 0x3fff, PROT_NONE);
	expect_fail(0x1000, 1, WO, -EFAULT); /* just filled */
	expect_fail(0x2000, 1, RO, -EFAULT);
	expect_fail(0x3000, 1, RO, -EFAULT);
	expect_map(0x1000, 1, RO, ro, 1);
	expect_fail(0x1000, 1, WO, -EFAULT); /* through the hint */
	expect_fail(0x1000, 1, RW, -EFAULT);
	expect_map(0x2000, 1, WO, wo, 1);
	expect_fail(0x2000, 1, RO, -EFAULT);
	expect_fail(0x2000, 1, RW, -EFAULT);
	forget_hint();
	expect_fail(0x1000, 1, RW, -EFAULT); /* through the table */
	ck_assert_uint_eq(source.fills, 3);
}
END_TEST

START_TEST(range_past_the_end_of_iova_space_is_refused)
{
	uint8_t *top = source_add(UINT64_MAX - 0xfff, UINT64_MAX, RW);
	uint8_t *zero = source_add(0, 0xfff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		expect_map(UINT64_MAX, 1, RO, top + 0xfff, 1);
		expect_map(UINT64_MAX - 0xfff, 0x1000, RO, top, 0x1000);
		expect_fail(UINT64_MAX, 2, RO, -EFAULT);
		expect_fail(UINT64_MAX - 0xfff, 0x1001, RO, -EFAULT);
		expect_fail(UINT64_MAX - 7, SIZE_MAX, RO, -EFAULT);
		if (!hinted)
			expect_map(0, 8, RO, zero, 8);
	}
	iotlb_drop(&tlb, UINT64_MAX, UINT64_MAX);
	ck_assert_uint_eq(source.releases, 1);
}
END_TEST

START_TEST(no_bytes_is_an_error)
{
	uint8_t *a = source_add(0, 0x1fff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		expect_fail(0x1000, 0, RO, -EFAULT);
		expect_fail(0, 0, RO, -EFAULT);
		expect_map(0x1000, 1, RO, a + 0x1000, 1);
	}
}
END_TEST

START_TEST(table_has_a_limit)
{
	for (uint64_t i = 0; i <= LIMIT; i++)
		source_add_at(i, i, RW, &memory[2 * i]);
	for (uint64_t i = 0; i < LIMIT; i++)
		expect_map(i, 2, RO, &memory[2 * i], 1);

	expect_fail(LIMIT, 1, RO, -ENOSPC);
	ck_assert_uint_eq(source.fills, LIMIT);
	for (uint64_t i = 0; i < LIMIT; i++) /* and those it has go on working */
		expect_map(i, 1, RO, &memory[2 * i], 1);
	iotlb_drop(&tlb, 7, 7);
	expect_map(LIMIT, 1, RO, &memory[2 * LIMIT], 1);
	expect_fail(7, 1, RO, -ENOSPC);
}
END_TEST

START_TEST(read_goes_over_borders)
{
	uint8_t out[64], want[64];

	/* 1 + 20 + 1 + 42 bytes, scattered */
	static const uint64_t starts[] = { 100, 101, 121, 122, 164 };
	for (int i = 0; i < 4; i++) {
		uint8_t *at = source_add(starts[i], starts[i + 1] - 1, i % 2 ? RW : RO);

		for (uint64_t j = starts[i]; j < starts[i + 1]; j++)
			at[j - starts[i]] = want[j - 100] = (uint8_t)(j * 7);
	}
	ck_assert_int_eq(iotlb_read(&view, 100, out, sizeof(out)), 0);
	ck_assert_mem_eq(out, want, sizeof(out));
	ck_assert_int_eq(iotlb_read(&view, 119, out, 5), 0);
	ck_assert_mem_eq(out, want + 19, 5);
	ck_assert_int_eq(iotlb_read(&view, 100, NULL, 0), 0);
	ck_assert_int_eq(iotlb_read(&view, 160, out, 5), -EFAULT); /* one byte too many */
	ck_assert_int_eq(iotlb_read(&view, 99, out, 5), -EFAULT);
}
END_TEST

START_TEST(read_stops_at_what_it_may_not_read)
{
	uint8_t out[16];

	source_add(0x1000, 0x1007, RW);
	source_add(0x1008, 0x100f, WO);
	source_add(UINT64_MAX - 7, UINT64_MAX, RW);
	source_add(0, 7, RW);
	ck_assert_int_eq(iotlb_read(&view, 0x1000, out, 8), 0);
	ck_assert_int_eq(iotlb_read(&view, 0x1000, out, 9), -EFAULT);
	ck_assert_int_eq(iotlb_read(&view, UINT64_MAX - 7, out, 8), 0);
	ck_assert_int_eq(iotlb_read(&view, UINT64_MAX - 7, out, 9), -EFAULT);
	source.error = -EMFILE;
	ck_assert_int_eq(iotlb_read(&view, 4, out, 1), -EMFILE);
}
END_TEST

/* Random maps and drops over a patchwork of regions, against a list that is searched from end to
 * end. */
START_TEST(agrees_with_a_naive_table)
{
	uint64_t at = 0;

	srandom(_i + 1);
	while (at < 20000) {
		uint64_t len = 1 + (uint64_t)random() % 50;

		if (random() % 4)
			source_add(at, at + len - 1, RW);
		at += len;
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t iova = (uint64_t)random() % 20000;
		size_t want = 1 + (size_t)random() % 80;
		unsigned int k = 0;

		if (random() % 100 == 0) {
			iotlb_drop(&tlb, iova, iova + want - 1);
			for (k = 0; k < source.count; k++) {
				const struct iotlb_region *r = &source.entries[k].region;

				if (r->start <= iova + want - 1 && r->last >= iova)
					ck_assert_uint_eq(source.entries[k].live, 0);
			}
			continue;
		}
		while (k < source.count && (source.entries[k].region.start > iova ||
					    source.entries[k].region.last < iova))
			k++;
		if (k == source.count) {
			expect_fail(iova, want, RW, -EFAULT);
		} else {
			const struct iotlb_region *r = &source.entries[k].region;

			expect_map(iova, want, RW, r->addr + (iova - r->start),
				   MIN(want, r->last - iova + 1));
			ck_assert_uint_eq(source.entries[k].live, 1);
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

	iotlb_view_init(&mine, &tlb);
	while (atomic_load(&threads_go_on)) {
		size_t len = 2;
		void *at;

		iova = (iova * 13 + 7) % SHARED_REGIONS;
		if (iotlb_map(&mine, iova, &len, RW, &at) || len != 1 || at != &memory[2 * iova])
			wrong++;
		/* and once more, through the hint */
		if (iotlb_map(&mine, iova, &len, RW, &at) || at != &memory[2 * iova])
			wrong++;
	}
	iotlb_view_exit(&mine);
	return (void *)wrong;
}

START_TEST(views_work_at_the_same_time)
{
	pthread_t threads[THREADS];

	for (uint64_t i = 0; i <= SHARED_REGIONS; i++)
		source_add_at(i, i, RW, &memory[2 * i]);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, look_at_regions, (void *)i), 0);
	for (int i = 0; i < 3000; i++) {
		expect_map(SHARED_REGIONS, 1, RO, &memory[2 * SHARED_REGIONS], 1);
		iotlb_drop(&tlb, SHARED_REGIONS, UINT64_MAX);
	}
	atomic_store(&threads_go_on, false);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_le(source.fills, SHARED_REGIONS + 3000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iotlb");
	TCase *tc = suite_case(suite, "iotlb", setup, teardown);

	tcase_add_test(tc, first_look_fills_and_later_ones_hit);
	tcase_add_test(tc, length_shrinks_to_what_is_contiguous);
	tcase_add_test(tc, regions_take_turns_without_filling_again);
	tcase_add_test(tc, hit_takes_no_lock);
	tcase_add_test(tc, failed_fill_is_passed_up_and_not_remembered);
	tcase_add_loop_test(tc, insane_region_is_refused_and_released, 0, ARRAY_SIZE(insane));
	tcase_add_loop_test(tc, drop_takes_every_region_it_touches_and_no_other, 0,
			    ARRAY_SIZE(drops));
	tcase_add_loop_test(tc, every_view_notices_a_drop, 0, 2);
	tcase_add_test(tc, refused_look_after_a_drop_forgets_the_hint);
	tcase_add_test(tc, view_of_a_table_in_use_begins_with_what_is_there);
	tcase_add_test(tc, permission_is_checked_on_every_path);
	tcase_add_test(tc, range_past_the_end_of_iova_space_is_refused);
	tcase_add_test(tc, no_bytes_is_an_error);
	tcase_add_test(tc, table_has_a_limit);
	tcase_add_test(tc, read_goes_over_borders);
	tcase_add_test(tc, read_stops_at_what_it_may_not_read);
	tcase_add_loop_test(tc, agrees_with_a_naive_table, 0, 3);
	tcase_add_test(tc, views_work_at_the_same_time);
	return suite_run(suite);
}
