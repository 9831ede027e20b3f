// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/pages.c: what is touched exists, and nothing else. */
#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "compiler.h"
#include "pages.h"
#include "suite.h"
#include "test_log.h"

#define PAGE 4096ul
#define MANY 1024ul /* pages: two huge ones lie in them */

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED true
#else
#define WATCHED false
#endif

static unsigned int resident(void *addr)
{
	unsigned char state[MANY];
	unsigned int count = 0;

	ck_assert_int_eq(mincore(addr, MANY * PAGE, state), 0);
	for (size_t i = 0; i < MANY; i++)
		count += state[i] & 1;
	return count;
}

/* A page at a time: one check for each byte took half a minute of CPU with the thread sanitizer. */
START_TEST(memory_is_zeroed_and_all_there)
{
	static const uint8_t zeroes[PAGE];
	const size_t size = MANY * PAGE - 1;
	uint8_t *bytes = pages_alloc(size);

	ck_assert_ptr_nonnull(bytes);
	for (size_t at = 0; at < size; at += PAGE) {
		size_t piece = MIN(PAGE, size - at);

		ck_assert_msg(!memcmp(bytes + at, zeroes, piece), "not zeroed at %zu", at);
		memset(bytes + at, 0xff, piece);
	}
	pages_free(bytes, size);
}
END_TEST

START_TEST(only_what_is_touched_takes_memory)
{
	uint8_t *bytes;

	if (WATCHED)
		return; /* the sanitizer's allocator takes its place */
	bytes = pages_alloc(MANY * PAGE);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(resident(bytes), 0);
	bytes[0] = 1;
	bytes[(MANY - 1) * PAGE] = 1;
	ck_assert_uint_eq(resident(bytes), 2);
	pages_free(bytes, MANY * PAGE);
}
END_TEST

START_TEST(what_is_freed_is_gone)
{
	uint8_t *bytes;

	if (WATCHED)
		return; /* the sanitizer sees a leak by itself */
	bytes = pages_alloc(2 * PAGE);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(msync(bytes, 2 * PAGE, MS_ASYNC), 0);
	pages_free(bytes, 2 * PAGE);
	ck_assert_int_eq(msync(bytes, PAGE, MS_ASYNC), -1);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(msync(bytes + PAGE, PAGE, MS_ASYNC), -1);
}
END_TEST

START_TEST(what_cannot_be_had_is_null)
{
	if (!WATCHED)
		ck_assert_ptr_null(pages_alloc(SIZE_MAX / 2));
	pages_free(NULL, PAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pages");
	TCase *tc = suite_case(suite, "pages", test_log_begin, test_log_end);

	tcase_add_test(tc, memory_is_zeroed_and_all_there);
	tcase_add_test(tc, only_what_is_touched_takes_memory);
	tcase_add_test(tc, what_is_freed_is_gone);
	tcase_add_test(tc, what_cannot_be_had_is_null);
	return suite_run(suite);
}
