// SPDX-License-Identifier: GPL-2.0-or-later
/* poll_us = auto: when it spins. What a wake-up takes is set so that no gap is near the border. */
#include <check.h>
#include <unistd.h>

#include "polling.h"
#include "suite.h"
#include "test_log.h"

#define FOREVER_US 100000000u /* longer than any test */

static struct polling_place place;
static struct polling polling;

static void start(uint32_t wakeup_us)
{
	place = (struct polling_place){ .cpus = 2, .wakeup_us = wakeup_us };
	polling_init(&polling, &place);
	polling_wakes(&polling);
}

static void gaps(int count, useconds_t us)
{
	while (count--) {
		polling_idle(&polling);
		usleep(us);
		polling_work(&polling);
	}
}

START_TEST(nothing_is_known_at_first)
{
	start(FOREVER_US);
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(spins_where_work_comes_sooner_than_a_wakeup)
{
	start(FOREVER_US);
	gaps(30, 0);
	ck_assert_uint_gt(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(sleeps_where_work_comes_later)
{
	start(1);
	gaps(30, 1000);
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(pause_stops_it_for_a_while)
{
	int tries = 0;

	start(2500); /* 10 ms are short; the pause counts as 80 */
	gaps(100, 0);
	gaps(1, 100000);
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
	while (!polling_auto_us(&polling) && tries++ < 1000)
		gaps(1, 0);
	ck_assert_int_lt(tries, 1000);
}
END_TEST

/* A gap begins when work runs out, however often that is said. */
START_TEST(gap_begins_once)
{
	start(100);
	for (int i = 0; i < 30; i++) {
		polling_idle(&polling);
		usleep(1000);
		polling_idle(&polling);
		polling_work(&polling);
	}
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(leaves_a_cpu_to_the_driver)
{
	struct polling other;

	start(FOREVER_US);
	gaps(30, 0);
	polling_init(&other, &place);
	ck_assert_uint_gt(polling_auto_us(&polling), 0); /* it sleeps */
	polling_wakes(&other);
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
	polling_sleeps(&other);
	ck_assert_uint_gt(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(knows_its_place)
{
	polling_place_init(&place);
	ck_assert_uint_eq(place.cpus, sysconf(_SC_NPROCESSORS_ONLN));
	ck_assert_uint_eq(place.awake, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("polling");
	TCase *tc = suite_case(suite, "polling", test_log_begin, test_log_end);

	tcase_add_test(tc, nothing_is_known_at_first);
	tcase_add_test(tc, spins_where_work_comes_sooner_than_a_wakeup);
	tcase_add_test(tc, sleeps_where_work_comes_later);
	tcase_add_test(tc, pause_stops_it_for_a_while);
	tcase_add_test(tc, gap_begins_once);
	tcase_add_test(tc, leaves_a_cpu_to_the_driver);
	tcase_add_test(tc, knows_its_place);
	return suite_run(suite);
}
