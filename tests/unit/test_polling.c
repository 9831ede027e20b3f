// SPDX-License-Identifier: GPL-2.0-or-later
/* poll_us = auto: when it spins. Time is the test's own. */
#include <check.h>
#include <sched.h>
#include <unistd.h>

#include "queue/polling.h"
#include "suite.h"
#include "test_log.h"

#define US 1000ull
#define MS 1000000ull

static struct polling_shared shared;
static struct polling polling;
static uint64_t now_ns, served;
static unsigned int spun, slept; /* gaps */

static void start(void)
{
	shared = (struct polling_shared){ .cpus = 2 };
	polling_init(&polling, &shared);
	polling_wakes(&polling);
	now_ns = 1;
	served = 0;
}

/* One request after the other, each of which comes so long after the last one was answered. */
static void load(unsigned int count, uint64_t spinning_ns, uint64_t sleeping_ns)
{
	spun = slept = 0;
	while (count--) {
		bool spins;

		polling_idle(&polling, served, now_ns);
		spins = polling_auto_us(&polling);
		if (spins)
			spun++;
		else
			slept++;
		now_ns += spins ? spinning_ns : sleeping_ns;
		polling_work(&polling, now_ns);
		served++;
	}
}

START_TEST(spins_where_that_takes_less_time)
{
	start();
	load(1000, 80 * US, 100 * US);
	load(10000, 80 * US, 100 * US);
	ck_assert_uint_gt(spun, 9 * slept);
}
END_TEST

/* Less CPU time for the same, for less, and for what is hardly more. */
START_TEST(sleeps_where_spinning_gives_little)
{
	static const uint64_t spinning_us[] = { 100, 120, 95 };

	start();
	load(1000, spinning_us[_i] * US, 100 * US);
	load(10000, spinning_us[_i] * US, 100 * US);
	ck_assert_uint_gt(slept, 9 * spun);
}
END_TEST

/* What counts is what a request takes: more of them in fewer gaps may well be more. */
START_TEST(large_batches_are_not_given_up_for_short_gaps)
{
	start();
	for (int i = 0; i < 10000; i++) {
		if (i == 1000)
			spun = slept = 0;
		polling_idle(&polling, served, now_ns);
		if (polling_auto_us(&polling)) {
			now_ns += 50 * US;
			served += 2;
			spun++;
		} else {
			now_ns += 200 * US;
			served += 25;
			slept++;
		}
		polling_work(&polling, now_ns);
	}
	ck_assert_uint_gt(slept, 9 * spun);
}
END_TEST

START_TEST(another_load_is_noticed_soon)
{
	start();
	load(100000 + 1000 * (unsigned int)_i, 80 * US, 100 * US);
	load(1000, 5 * US, 4 * US); /* as it would be at a larger depth */
	load(1000, 5 * US, 4 * US);
	ck_assert_uint_gt(slept, spun);
	load(100000 + 1000 * (unsigned int)_i, 5 * US, 4 * US);
	load(1000, 80 * US, 100 * US);
	load(1000, 80 * US, 100 * US);
	ck_assert_uint_gt(spun, slept);
}
END_TEST

/* Even one that costs about the same as before. */
START_TEST(choice_is_looked_at_again)
{
	start();
	load(100000, 80 * US, 100 * US);
	load(6000, 100 * US, 80 * US);
	load(10000, 100 * US, 80 * US);
	ck_assert_uint_gt(slept, 9 * spun);
}
END_TEST

/* One gap in a hundred is a pause; what that costs says nothing about spinning. */
START_TEST(pauses_do_not_count)
{
	unsigned int all_spun = 0;

	start();
	load(1000, 80 * US, 100 * US);
	for (int i = 0; i < 100; i++) {
		polling_idle(&polling, served, now_ns);
		now_ns += (i % 7 + 1) * 1000 * MS;
		polling_work(&polling, now_ns);
		served++;
		load(100, 80 * US, 100 * US);
		all_spun += spun;
	}
	ck_assert_uint_gt(all_spun, 9000);
}
END_TEST

/* A stall now and then is no other load, whatever it does to a period. */
START_TEST(stalls_change_nothing)
{
	unsigned int all_spun = 0;

	start();
	load(1000, 100 * US, 100 * US);
	for (int i = 0; i < 500; i++) {
		load(1, 20 * MS, 20 * MS);
		all_spun += spun;
		load(199, 100 * US, 100 * US);
		all_spun += spun;
	}
	ck_assert_uint_lt(all_spun, 10000);
}
END_TEST

/* What it costs to try is bounded, also where a spinning worker waits long for its CPU. */
START_TEST(trying_costs_little)
{
	uint64_t began_ns;

	start();
	load(1000, 3 * MS, 50 * US);
	began_ns = now_ns;
	load(100000, 3 * MS, 50 * US);
	ck_assert_uint_lt(now_ns - began_ns, 100000ull * 60 * US);
}
END_TEST

START_TEST(rests_where_somebody_needs_the_cpu)
{
	start();
	do
		load(1, 80 * US, 100 * US);
	while (!polling.spins || polling.gaps > 20);
	polling_yielded(&polling, now_ns, now_ns + 60 * US);
	load(1, 80 * US, 100 * US);
	ck_assert_uint_eq(spun, 1);
	polling_yielded(&polling, now_ns, now_ns + 3 * MS);
	now_ns += 3 * MS;
	load(1, 80 * US, 100 * US);
	ck_assert_uint_eq(spun, 0);
	now_ns += 100 * MS;
	load(1, 80 * US, 100 * US);
	ck_assert_uint_eq(spun, 1);
}
END_TEST

/* However slow a disk is, what was right for another load is given up soon. */
START_TEST(slow_load_does_not_wait_for_many_gaps)
{
	start();
	load(100000, 60 * US, 100 * US);
	load(300, 2 * MS, 2 * MS);
	ck_assert_uint_lt(spun, 60);
}
END_TEST

/* A gap begins when work runs out, however often that is said, and a request may take a while. */
START_TEST(gap_begins_once)
{
	start();
	polling_idle(&polling, served, 100);
	polling_idle(&polling, served, 200);
	ck_assert_uint_eq(polling.idle_since_ns, 100);
	polling_work(&polling, 300);
	ck_assert_uint_eq(polling.idle_since_ns, 0);
	polling_work(&polling, 400);
	ck_assert_uint_eq(polling.gaps, 1);
}
END_TEST

START_TEST(leaves_a_cpu_to_the_driver)
{
	struct polling other;

	start();
	load(1000, 80 * US, 100 * US);
	while (!polling.spins)
		load(1, 80 * US, 100 * US);
	polling_init(&other, &shared);
	ck_assert_uint_gt(polling_auto_us(&polling), 0); /* it sleeps */
	polling_wakes(&other);
	ck_assert_uint_eq(polling_auto_us(&polling), 0);
	polling_sleeps(&other);
	ck_assert_uint_gt(polling_auto_us(&polling), 0);
}
END_TEST

START_TEST(knows_its_place)
{
	cpu_set_t all, one;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	polling_shared_init(&shared);
	ck_assert_int_eq(shared.cpus, CPU_COUNT(&all));
	ck_assert_uint_eq(shared.awake, 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	polling_shared_init(&shared);
	ck_assert_uint_eq(shared.cpus, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("polling");
	TCase *tc = suite_case(suite, "polling", test_log_begin, test_log_end);

	tcase_add_test(tc, spins_where_that_takes_less_time);
	tcase_add_loop_test(tc, sleeps_where_spinning_gives_little, 0, 3);
	tcase_add_test(tc, large_batches_are_not_given_up_for_short_gaps);
	tcase_add_loop_test(tc, another_load_is_noticed_soon, 0, 4);
	tcase_add_test(tc, choice_is_looked_at_again);
	tcase_add_test(tc, pauses_do_not_count);
	tcase_add_test(tc, stalls_change_nothing);
	tcase_add_test(tc, trying_costs_little);
	tcase_add_test(tc, rests_where_somebody_needs_the_cpu);
	tcase_add_test(tc, slow_load_does_not_wait_for_many_gaps);
	tcase_add_test(tc, gap_begins_once);
	tcase_add_test(tc, leaves_a_cpu_to_the_driver);
	tcase_add_test(tc, knows_its_place);
	return suite_run(suite);
}
