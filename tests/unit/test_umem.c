// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/umem.c: reserved memory is resident before it is needed, and is handed out once. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "compiler.h"
#include "suite.h"
#include "test_log.h"
#include "umem.h"

#define PAGE 4096ul
#define SIZE (1ul << 20)

/* Pages of @addr that exist; -1: nothing is mapped there. */
static int resident(void *addr)
{
	unsigned char state[SIZE / PAGE];
	int count = 0;

	if (mincore(addr, SIZE, state))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(state); i++)
		count += state[i] & 1;
	return count;
}

START_TEST(memory_suits_huge_pages_and_comes_when_touched)
{
	uint8_t *addr = umem_alloc(SIZE);

	ck_assert_ptr_nonnull(addr);
	ck_assert_uint_eq((uintptr_t)addr % (2ul << 20), 0);
	ck_assert_int_eq(resident(addr), 0);
	umem_free(addr, SIZE);
	ck_assert_int_eq(resident(addr), -1);
}
END_TEST

START_TEST(what_is_reserved_is_resident_and_goes_to_one)
{
	uint8_t *other, *first, *second;

	umem_reserve(SIZE);
	other = umem_alloc(2 * SIZE); /* of another size: it stays */
	first = umem_alloc(SIZE);
	second = umem_alloc(SIZE);
	ck_assert(other && first && second);
	ck_assert_int_eq(resident(other), 0);
	ck_assert_int_eq(resident(first), SIZE / PAGE);
	ck_assert_int_eq(resident(second), 0);
	ck_assert(first[0] == 0 && !memcmp(first, first + 1, SIZE - 1)); /* all zeroes */
	umem_free(other, 2 * SIZE);
	umem_free(first, SIZE);
	umem_free(second, SIZE);
}
END_TEST

START_TEST(what_nobody_took_is_given_back)
{
	uint8_t *addr;

	umem_reserve(SIZE);
	umem_reserve(2 * SIZE);
	umem_unreserve();
	addr = umem_alloc(SIZE);
	ck_assert_ptr_nonnull(addr);
	ck_assert_int_eq(resident(addr), 0);
	umem_free(addr, SIZE);
	umem_unreserve();
}
END_TEST

/* What was mapped besides: the memory is aligned by giving back what lies before and behind it. */
START_TEST(nothing_is_mapped_around_it)
{
	unsigned char state;

	for (int i = 0; i < 3; i++) {
		uint8_t *addr = umem_alloc(SIZE + PAGE);

		ck_assert_ptr_nonnull(addr);
		umem_free(addr, SIZE + PAGE);
		ck_assert_int_eq(mincore(addr, PAGE, &state), -1);
		ck_assert_int_eq(mincore(addr + SIZE, PAGE, &state), -1);
	}
}
END_TEST

/* With a sanitizer the runtime maps memory of its own meanwhile. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Address space that this process has, in pages. */
static long mapped_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long pages = -1;

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%ld", &pages), 1);
	fclose(statm);
	return pages;
}

START_TEST(all_address_space_is_given_back)
{
	long before;

	mapped_pages(); /* what stdio needs is there now */
	before = mapped_pages();
	for (int i = 0; i < 8; i++) {
		void *addr;

		umem_reserve(SIZE);
		umem_reserve(2 * SIZE);
		addr = umem_alloc(2 * SIZE);
		ck_assert_ptr_nonnull(addr);
		umem_free(addr, 2 * SIZE);
		umem_unreserve();
		umem_free(umem_alloc(SIZE), SIZE);
	}
	ck_assert_int_eq(mapped_pages(), before);
}
END_TEST

START_TEST(address_space_that_cannot_be_had_is_not_reserved)
{
	umem_reserve(SIZE_MAX / 2);
	ck_assert_ptr_null(umem_alloc(SIZE_MAX / 2));
	umem_unreserve();
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("umem");
	TCase *tc = suite_case(suite, "umem", test_log_begin, test_log_end);

	tcase_add_test(tc, memory_suits_huge_pages_and_comes_when_touched);
	tcase_add_test(tc, what_is_reserved_is_resident_and_goes_to_one);
	tcase_add_test(tc, what_nobody_took_is_given_back);
	tcase_add_test(tc, nothing_is_mapped_around_it);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_test(tc, all_address_space_is_given_back);
	tcase_add_test(tc, address_space_that_cannot_be_had_is_not_reserved);
#endif
	return suite_run(suite);
}
