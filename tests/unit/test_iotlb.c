// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/iotlb.c: what a look-up gives, and when it asks the source. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "iotlb_fixture.h"
#include "suite.h"

START_TEST(first_look_fills_and_later_ones_hit)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW);

	tl_expect_map(0x1000, 16, RO, a, 16);
	tl_expect_map(0x1ff0, 16, WO, a + 0xff0, 16);
	tl_forget_hint();
	tl_expect_map(0x1800, 1, RW, a + 0x800, 1);
	ck_assert_uint_eq(tl_source.fills, 1);
}
END_TEST

START_TEST(length_shrinks_to_what_is_contiguous)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW), *b = tl_source_add(0x2000, 0x2fff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		tl_expect_map(0x1000, 0x1000, RO, a, 0x1000);
		tl_expect_map(0x1000, 0x1001, RO, a, 0x1000);
		tl_expect_map(0x1fff, 100, RO, a + 0xfff, 1);
		tl_expect_map(0x1800, SIZE_MAX / 2, RO, a + 0x800, 0x800);
		if (!hinted)
			tl_expect_map(0x2000, 100, RO, b, 100);
	}
	ck_assert_uint_eq(tl_source.fills, 2);
}
END_TEST

START_TEST(region_of_an_address_is_found_to_its_last_byte)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW), *b = tl_source_add(0x5000, 0x50ff, RW);
	const struct iotlb_region *region;

	tl_expect_map(0x1000, 1, RO, a, 1);
	tl_expect_map(0x5000, 1, RO, b, 1);
	for (int i = 0; i < 2; i++) {
		region = iotlb_region_at(&tl_view, i ? a + 0xfff : a);
		ck_assert_ptr_nonnull(region);
		ck_assert_uint_eq(region->start, 0x1000);
		region = iotlb_region_at(&tl_view, i ? b + 0xff : b);
		ck_assert_ptr_nonnull(region);
		ck_assert_uint_eq(region->start, 0x5000);
	}
	ck_assert_ptr_null(iotlb_region_at(&tl_view, a + 0x1000));
	ck_assert_ptr_null(iotlb_region_at(&tl_view, b + 0x100));
	ck_assert_ptr_null(iotlb_region_at(&tl_view, a - 1));
}
END_TEST

START_TEST(regions_take_turns_without_filling_again)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW), *b = tl_source_add(0x2000, 0x2fff, RW);
	uint8_t *c = tl_source_add(0x8000, 0x8000, RW);

	for (int i = 0; i < 3; i++) {
		tl_expect_map(0x2fff, 1, RO, b + 0xfff, 1);
		tl_expect_map(0x1fff, 1, RO, a + 0xfff, 1);
		tl_expect_map(0x8000, 1, RO, c, 1);
		tl_expect_map(0x2000, 1, RO, b, 1);
	}
	ck_assert_uint_eq(tl_source.fills, 3);
}
END_TEST

/* A lock that is held already would stop us for ever. */
START_TEST(hit_takes_no_lock)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW), *b = tl_source_add(0x2000, 0x2fff, RW);

	tl_expect_map(0x1000, 1, RO, a, 1);
	tl_expect_map(0x2000, 1, RO, b, 1);
	ck_assert_uint_eq(tl_view.hint.start, 0x2000); /* where the next look goes first */
	pthread_mutex_lock(&tl_tlb.lock);
	tl_expect_map(0x2010, 1, RO, b + 0x10, 1);
	tl_expect_map(0x1010, 1, RO, a + 0x10, 1);
	ck_assert_uint_eq(tl_view.hint.start, 0x1000);
	tl_expect_fail(0x1000, 0, RO, -EFAULT);
	tl_expect_fail(0x1000, SIZE_MAX, RO, -EFAULT);
	pthread_mutex_unlock(&tl_tlb.lock);
}
END_TEST

START_TEST(failed_fill_is_passed_up_and_not_remembered)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW);

	tl_expect_fail(0x5000, 1, RO, -EFAULT);
	tl_source.error = -ENOMEM;
	tl_expect_fail(0x1000, 1, RO, -ENOMEM);
	ck_assert_uint_eq(tl_tlb.table.count, 0);
	tl_expect_map(0x1000, 1, RO, a, 1);

	/* a failed miss does no harm to what is mapped */
	tl_source.error = -EPERM;
	tl_expect_fail(0x2000, 1, RO, -EPERM);
	tl_expect_map(0x1001, 1, RO, a + 1, 1);
	ck_assert_uint_eq(tl_source.fills, 1);
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
	uint8_t *left = tl_source_add(0x2000, 0x2fff, RW),
		*right = tl_source_add(0x4000, 0x4fff, RW);

	tl_expect_map(0x2000, 1, RO, left, 1);
	tl_expect_map(0x4000, 1, RO, right, 1);

	tl_source.lie = tl_source_add_at(insane[_i].start, insane[_i].last, RW, tl_memory);
	tl_source.entries[tl_source.lie].hidden = true;
	tl_expect_fail(0x3000, 1, RO, -EFAULT);
	ck_assert_uint_eq(tl_source.fills, 3);
	ck_assert_uint_eq(tl_source.releases, 1);
	ck_assert_uint_eq(tl_tlb.table.count, 2);

	tl_source.lie = -1;
	tl_expect_map(0x2fff, 1, RO, left + 0xfff, 1);
	tl_expect_map(0x4000, 1, RO, right, 1);
	tl_expect_map(0x3000, 1, RO, tl_source_add(0x3000, 0x3fff, RW), 1);
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

	tl_source_add(0x1000, 0x1fff, RW);
	tl_source_add(0x2000, 0x2fff, RW);
	tl_source_add(0x5000, 0x5000, RW);
	for (int i = 0; i < 3; i++)
		tl_expect_map(at[i], 1, RO, tl_source_addr(i, at[i]), 1);

	iotlb_drop(&tl_tlb, drops[_i].start, drops[_i].last);
	for (unsigned int i = 0; i < 3; i++)
		gone |= tl_source.entries[i].live ? 0 : 1u << i;
	ck_assert_uint_eq(gone, drops[_i].gone);

	for (int i = 0; i < 3; i++)
		tl_expect_map(at[i], 1, RO, tl_source_addr(i, at[i]), 1);
	ck_assert_uint_eq(tl_source.fills, 3u + (unsigned int)__builtin_popcount(gone));
}
END_TEST

START_TEST(every_view_notices_a_drop)
{
	struct iotlb_view other;
	size_t len = 1;
	void *at;

	iotlb_view_init(&other, &tl_tlb);
	tl_source_add_at(0x1000, 0x1fff, RW, tl_memory);
	tl_expect_map(0x1000, 1, RO, tl_memory, 1);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), 0);
	ck_assert_ptr_eq(at, tl_memory + 1);
	if (_i)
		tl_forget_hint(); /* the private table must go stale as well */

	iotlb_drop(&tl_tlb, 0, UINT64_MAX);
	tl_source.entries[0].region.addr = tl_memory + 0x4000; /* moves */
	tl_expect_map(0x1000, 1, RO, tl_memory + 0x4000, 1);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), 0);
	ck_assert_ptr_eq(at, tl_memory + 0x4001);
	ck_assert_uint_eq(tl_source.fills, 2); /* the second view found it in the table */

	iotlb_drop(&tl_tlb, 0x1fff, 0x1fff);
	tl_source.count = 0;
	tl_expect_fail(0x1000, 1, RO, -EFAULT);
	ck_assert_int_eq(iotlb_map(&other, 0x1001, &len, RO, &at), -EFAULT);
	iotlb_view_exit(&other);
}
END_TEST

/* A look that fails brings the view up to date, and must not revive what it remembered before. */
START_TEST(refused_look_after_a_drop_forgets_the_hint)
{
	uint8_t *ro = tl_source_add(0x8000, 0x8fff, RO);

	tl_source_add_at(0x1000, 0x1fff, RW, tl_memory + 0x40000);
	tl_expect_map(0x8000, 1, RO, ro, 1);
	tl_expect_map(0x1000, 1, RO, tl_memory + 0x40000, 1);
	iotlb_drop(&tl_tlb, 0x1000, 0x1000);
	tl_source.entries[1].region.addr = tl_memory + 0x50000; /* moves */
	tl_expect_fail(0x8000, 1, WO, -EFAULT);
	tl_expect_map(0x1000, 1, RO, tl_memory + 0x50000, 1);
}
END_TEST

START_TEST(view_of_a_table_in_use_begins_with_what_is_there)
{
	uint8_t *a = tl_source_add(0x1000, 0x1fff, RW);

	tl_expect_map(0x1000, 1, RO, a, 1);
	iotlb_view_exit(&tl_view);
	iotlb_view_init(&tl_view, &tl_tlb);
	tl_expect_map(0x1010, 1, RO, a + 0x10, 1);
	ck_assert_uint_eq(tl_source.fills, 1);
}
END_TEST

START_TEST(permission_is_checked_on_every_path)
{
	uint8_t *ro = tl_source_add(0x1000, 0x1fff, RO), *wo = tl_source_add(0x2000, 0x2fff, WO);

	tl_source_add(0x3000, 0x3fff, PROT_NONE);
	tl_expect_fail(0x1000, 1, WO, -EFAULT); /* just filled */
	tl_expect_fail(0x2000, 1, RO, -EFAULT);
	tl_expect_fail(0x3000, 1, RO, -EFAULT);
	tl_expect_map(0x1000, 1, RO, ro, 1);
	tl_expect_fail(0x1000, 1, WO, -EFAULT); /* through the hint */
	tl_expect_fail(0x1000, 1, RW, -EFAULT);
	tl_expect_map(0x2000, 1, WO, wo, 1);
	tl_expect_fail(0x2000, 1, RO, -EFAULT);
	tl_expect_fail(0x2000, 1, RW, -EFAULT);
	tl_forget_hint();
	tl_expect_fail(0x1000, 1, RW, -EFAULT); /* through the table */
	ck_assert_uint_eq(tl_source.fills, 3);
}
END_TEST

START_TEST(range_past_the_end_of_iova_space_is_refused)
{
	uint8_t *top = tl_source_add(UINT64_MAX - 0xfff, UINT64_MAX, RW);
	uint8_t *zero = tl_source_add(0, 0xfff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		tl_expect_map(UINT64_MAX, 1, RO, top + 0xfff, 1);
		tl_expect_map(UINT64_MAX - 0xfff, 0x1000, RO, top, 0x1000);
		tl_expect_fail(UINT64_MAX, 2, RO, -EFAULT);
		tl_expect_fail(UINT64_MAX - 0xfff, 0x1001, RO, -EFAULT);
		tl_expect_fail(UINT64_MAX - 7, SIZE_MAX, RO, -EFAULT);
		if (!hinted)
			tl_expect_map(0, 8, RO, zero, 8);
	}
	iotlb_drop(&tl_tlb, UINT64_MAX, UINT64_MAX);
	ck_assert_uint_eq(tl_source.releases, 1);
}
END_TEST

START_TEST(no_bytes_is_an_error)
{
	uint8_t *a = tl_source_add(0, 0x1fff, RW);

	for (int hinted = 0; hinted < 2; hinted++) {
		tl_expect_fail(0x1000, 0, RO, -EFAULT);
		tl_expect_fail(0, 0, RO, -EFAULT);
		tl_expect_map(0x1000, 1, RO, a + 0x1000, 1);
	}
}
END_TEST

START_TEST(table_has_a_limit)
{
	for (uint64_t i = 0; i <= LIMIT; i++)
		tl_source_add_at(i, i, RW, &tl_memory[2 * i]);
	for (uint64_t i = 0; i < LIMIT; i++)
		tl_expect_map(i, 2, RO, &tl_memory[2 * i], 1);

	tl_expect_fail(LIMIT, 1, RO, -ENOSPC);
	ck_assert_uint_eq(tl_source.fills, LIMIT);
	for (uint64_t i = 0; i < LIMIT; i++) /* and those it has go on working */
		tl_expect_map(i, 1, RO, &tl_memory[2 * i], 1);
	iotlb_drop(&tl_tlb, 7, 7);
	tl_expect_map(LIMIT, 1, RO, &tl_memory[2 * LIMIT], 1);
	tl_expect_fail(7, 1, RO, -ENOSPC);
}
END_TEST

START_TEST(read_goes_over_borders)
{
	uint8_t out[64], want[64];

	/* 1 + 20 + 1 + 42 bytes, scattered */
	static const uint64_t starts[] = { 100, 101, 121, 122, 164 };
	for (int i = 0; i < 4; i++) {
		uint8_t *at = tl_source_add(starts[i], starts[i + 1] - 1, i % 2 ? RW : RO);

		for (uint64_t j = starts[i]; j < starts[i + 1]; j++)
			at[j - starts[i]] = want[j - 100] = (uint8_t)(j * 7);
	}
	ck_assert_int_eq(iotlb_read(&tl_view, 100, out, sizeof(out)), 0);
	ck_assert_mem_eq(out, want, sizeof(out));
	ck_assert_int_eq(iotlb_read(&tl_view, 119, out, 5), 0);
	ck_assert_mem_eq(out, want + 19, 5);
	ck_assert_int_eq(iotlb_read(&tl_view, 100, NULL, 0), 0);
	ck_assert_int_eq(iotlb_read(&tl_view, 160, out, 5), -EFAULT); /* one byte too many */
	ck_assert_int_eq(iotlb_read(&tl_view, 99, out, 5), -EFAULT);
}
END_TEST

START_TEST(read_stops_at_what_it_may_not_read)
{
	uint8_t out[16];

	tl_source_add(0x1000, 0x1007, RW);
	tl_source_add(0x1008, 0x100f, WO);
	tl_source_add(UINT64_MAX - 7, UINT64_MAX, RW);
	tl_source_add(0, 7, RW);
	ck_assert_int_eq(iotlb_read(&tl_view, 0x1000, out, 8), 0);
	ck_assert_int_eq(iotlb_read(&tl_view, 0x1000, out, 9), -EFAULT);
	ck_assert_int_eq(iotlb_read(&tl_view, UINT64_MAX - 7, out, 8), 0);
	ck_assert_int_eq(iotlb_read(&tl_view, UINT64_MAX - 7, out, 9), -EFAULT);
	tl_source.error = -EMFILE;
	ck_assert_int_eq(iotlb_read(&tl_view, 4, out, 1), -EMFILE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iotlb");
	TCase *tc = suite_case(suite, "iotlb", tl_setup, tl_teardown);

	tcase_add_test(tc, first_look_fills_and_later_ones_hit);
	tcase_add_test(tc, length_shrinks_to_what_is_contiguous);
	tcase_add_test(tc, region_of_an_address_is_found_to_its_last_byte);
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
	return suite_run(suite);
}
