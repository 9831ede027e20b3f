// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/mappings.c: the memory of one driver cannot use up all mappings of the process. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "mappings.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define DEFAULT 65530u

static const char *real_path;

static void set_limit(const char *text)
{
	FILE *to = fopen(mappings_limit_path, "we");

	ck_assert_ptr_nonnull(to);
	fputs(text, to);
	fclose(to);
}

static void setup(void)
{
	test_log_begin();
	real_path = mappings_limit_path;
	mappings_limit_path = temp_path("max_map_count");
	set_limit("65530\n");
}

static void teardown(void)
{
	ck_assert_uint_eq(mappings_total(), 0);
	unlink(mappings_limit_path);
	mappings_limit_path = real_path;
	test_log_end();
}

/* As many as it gets, but @wanted at most. */
static unsigned int take(struct mappings *mappings, unsigned int wanted)
{
	unsigned int count = 0;

	while (count < wanted && mappings_reserve(mappings) == 0)
		count++;
	ck_assert(count == wanted || mappings_reserve(mappings) == -ENOSPC);
	return count;
}

static void give(struct mappings *mappings)
{
	mappings_forget(mappings);
	mappings_release();
}

static void give_all(struct mappings *mappings)
{
	while (mappings->held)
		give(mappings);
}

START_TEST(first_device_gets_half_of_the_rest_and_the_next_half_of_that)
{
	struct mappings a = { 0 }, b = { 0 }, c = { 0 };

	set_limit("1000\n"); /* 250 are the process's own */
	ck_assert_uint_eq(take(&a, 1000), 375);
	ck_assert_uint_eq(take(&b, 1000), 188);
	ck_assert_uint_eq(take(&c, 1000), 94);
	ck_assert_uint_eq(mappings_total(), 375 + 188 + 94);
	ck_assert_uint_eq(a.held, 375);
	give_all(&a);
	ck_assert_uint_eq(mappings_total(), 188 + 94);
	ck_assert_uint_eq(take(&c, 1000), 187); /* until it holds what is left: 750 - 188 - 281 */
	give_all(&b);
	give_all(&c);
}
END_TEST

/* Guests of bad will, as many as it takes, leave enough for one of good will, and for the process. */
START_TEST(everybody_gets_a_little)
{
	static struct mappings greedy[300];
	struct mappings modest = { 0 };
	unsigned int own;

	for (size_t i = 0; i < 200; i++)
		take(&greedy[i], 4096);
	ck_assert_uint_eq(take(&modest, 15), 15);
	for (size_t i = 200; i < 256; i++)
		take(&greedy[i], 4096);
	own = DEFAULT - mappings_total();
	ck_assert_uint_ge(own, DEFAULT / 16 * 3);
	ck_assert_uint_lt(own, DEFAULT / 4);
	give_all(&modest);
	for (size_t i = 0; i < ARRAY_SIZE(greedy); i++)
		give_all(&greedy[i]);
}
END_TEST

START_TEST(limit_is_read_anew)
{
	struct mappings a = { 0 };

	set_limit("8\n");
	ck_assert_uint_eq(mappings_limit(), 8);
	ck_assert_uint_eq(take(&a, 100), 3);
	set_limit("80\n");
	ck_assert_uint_eq(mappings_limit(), 80);
	ck_assert_uint_eq(take(&a, 100), 27);
	set_limit("8\n"); /* less than there are */
	ck_assert_uint_eq(take(&a, 100), 0);
	give_all(&a);
}
END_TEST

static const char *const no_limits[] = { "", "0\n", "-5\n", "many\n" };

START_TEST(limit_that_cannot_be_read_is_the_kernels_default)
{
	set_limit(no_limits[_i]);
	ck_assert_uint_eq(mappings_limit(), DEFAULT);
}
END_TEST

START_TEST(limit_without_a_file_is_the_kernels_default)
{
	unlink(mappings_limit_path);
	ck_assert_uint_eq(mappings_limit(), DEFAULT);
	ck_assert_int_eq(access(real_path, R_OK), 0);
}
END_TEST

static void *take_and_give(void *arg)
{
	struct mappings mine = { 0 };

	for (unsigned int i = 0; i < 2000; i++)
		if (mappings_reserve(&mine) == 0 && i % 2)
			give(&mine);
	give_all(&mine);
	return arg;
}

START_TEST(devices_of_several_threads_are_counted)
{
	pthread_t threads[2];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(mappings_total(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mappings");
	TCase *tc = suite_case(suite, "mappings", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, first_device_gets_half_of_the_rest_and_the_next_half_of_that);
	tcase_add_test(tc, everybody_gets_a_little);
	tcase_add_test(tc, limit_is_read_anew);
	tcase_add_loop_test(tc, limit_that_cannot_be_read_is_the_kernels_default, 0,
			    ARRAY_SIZE(no_limits));
	tcase_add_test(tc, limit_without_a_file_is_the_kernels_default);
	tcase_add_test(tc, devices_of_several_threads_are_counted);
	return suite_run(suite);
}
