// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/dirty_log.c against a bit for each page, set one after the other. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "compiler.h"
#include "dirty_log.h"
#include "guest.h"
#include "suite.h"

#define PAGE	4096ull
#define LOG_MAX 4096u /* bytes */

static uint8_t *bits;

/* The log ends where memory ends. */
static void setup(void)
{
	uint8_t *area =
		mmap(NULL, 2 * LOG_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(area, MAP_FAILED);
	ck_assert_int_eq(mprotect(area + LOG_MAX, LOG_MAX, PROT_NONE), 0);
	bits = area;
}

static void teardown(void)
{
	munmap(bits, 2 * LOG_MAX);
}

static bool is_written(uint64_t page, uint64_t addr, uint64_t len)
{
	__uint128_t start = (__uint128_t)page * PAGE, end = (__uint128_t)addr + len;

	return len && start < end && start + PAGE > addr;
}

/* Marks a range in a log of @size bytes that is @before already, and compares all bits. */
static void check_mark(size_t size, uint8_t before, uint64_t addr, uint64_t len)
{
	struct dirty_log log = { .bits = bits + LOG_MAX - size, .size = size };

	memset(bits, before, LOG_MAX);
	dirty_log_mark(&log, addr, len);
	for (size_t i = 0; i < LOG_MAX - size; i++)
		must(bits[i] == before, "a byte before the log was changed");
	for (uint64_t page = 0; page < size * 8; page++) {
		bool was = before >> page % 8 & 1, is = log.bits[page / 8] >> page % 8 & 1;

		must(is == (was || is_written(page, addr, len)),
		     "page %llu of 0x%llx + 0x%llx in a log of %zu bytes", (unsigned long long)page,
		     (unsigned long long)addr, (unsigned long long)len, size);
	}
}

static const size_t sizes[] = { 8, 16, 24, 32, 64 };
static const uint8_t before[] = { 0, 0xff, 0x5a };

START_TEST(all_ranges_of_pages)
{
	for (uint64_t first = 0; first < 140; first++)
		for (uint64_t count = 0; count < 280; count++)
			check_mark(sizes[_i], before[count % 3], first * PAGE, count * PAGE);
}
END_TEST

START_TEST(ranges_begin_and_end_within_pages)
{
	static const uint64_t at[] = { 0, 1, 2048, 4095 };

	for (unsigned int i = 0; i < 16; i++) {
		uint64_t begin = 7 * PAGE + at[i % 4];

		for (uint64_t end = 7; end < 90; end++)
			if (end * PAGE + at[i / 4] > begin)
				check_mark(16, 0, begin, end * PAGE + at[i / 4] - begin);
	}
	check_mark(16, 0, 5 * PAGE - 1, 1);
	check_mark(16, 0, 5 * PAGE - 1, 2);
	check_mark(16, 0, 5 * PAGE, 1);
	check_mark(16, 0, 5 * PAGE, 0);
}
END_TEST

START_TEST(end_of_the_log_and_of_addresses)
{
	static const uint64_t pages = 16 * 8;

	check_mark(16, 0, (pages - 1) * PAGE, 1);
	check_mark(16, 0, (pages - 1) * PAGE + 4095, 2);
	check_mark(16, 0, (pages - 1) * PAGE, UINT64_MAX - (pages - 1) * PAGE);
	check_mark(16, 0, pages * PAGE, 1);
	check_mark(16, 0, 0, UINT64_MAX);
	check_mark(16, 0, 1, UINT64_MAX);
	check_mark(16, 0, UINT64_MAX, 1);
	check_mark(16, 0, UINT64_MAX, UINT64_MAX);
	check_mark(0, 0, 0, 1);
	check_mark(0, 0, 0, UINT64_MAX);
}
END_TEST

/* A range that wraps: at least its first page is marked, and nothing outside of the log. */
START_TEST(range_wraps)
{
	struct dirty_log log = { .bits = bits + LOG_MAX - 16, .size = 16 };

	dirty_log_mark(&log, 3 * PAGE, UINT64_MAX);
	ck_assert_uint_eq(log.bits[0], 1 << 3);
}
END_TEST

/* Sizes that are no multiple of eight, as a front end may choose. */
START_TEST(odd_size_of_the_log)
{
	for (size_t size = 1; size < 24; size++)
		for (uint64_t first = 0; first < 70; first++) {
			struct dirty_log log = { .bits = bits, .size = size };

			memset(bits, 0, LOG_MAX);
			dirty_log_mark(&log, first * PAGE, 1 << 30);
			for (uint64_t page = 0; page < 8 * LOG_MAX; page++)
				must((bits[page / 8] >> page % 8 & 1) ==
					     (page >= first && page < size * 8),
				     "page %llu", (unsigned long long)page);
		}
}
END_TEST

/* ---- a front end that clears bits, and threads that set them ---- */

#define ROUNDS 200000u

static struct dirty_log shared;

static void *mark_own_page(void *arg)
{
	uintptr_t page = (uintptr_t)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		dirty_log_mark(&shared, page * PAGE, 1);
		must(load_relaxed(shared.bits) >> page & 1, "a bit was lost");
		__atomic_fetch_and(shared.bits, (uint8_t) ~(1u << page), __ATOMIC_SEQ_CST);
	}
	return NULL;
}

START_TEST(threads_share_a_byte)
{
	pthread_t threads[2];

	shared = (struct dirty_log){ .bits = bits, .size = 8 };
	for (uintptr_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, mark_own_page, (void *)i), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dirty_log");
	TCase *tc = suite_case(s, "dirty_log", setup, teardown);

	tcase_add_loop_test(tc, all_ranges_of_pages, 0, ARRAY_SIZE(sizes));
	tcase_add_test(tc, ranges_begin_and_end_within_pages);
	tcase_add_test(tc, end_of_the_log_and_of_addresses);
	tcase_add_test(tc, range_wraps);
	tcase_add_test(tc, odd_size_of_the_log);
	tcase_add_test(tc, threads_share_a_byte);
	return suite_run(s);
}
