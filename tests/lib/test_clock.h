/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time that the daemon sees. It is real until test_clock_stop(). Then it stands still until the test
 * moves it, and so a test that waits for a timer or a time limit takes no time:
 *
 * - test_clock_advance() moves it. Timers of rings that are due then expire in ring_run().
 * - usleep() and nanosleep() of the test's own thread move it, and return at once.
 * - Those of other threads return when the test has moved it so far since they last read the clock.
 *
 * Tests are linked with --wrap for clock_gettime(), usleep(), nanosleep() and ring_timer_start(). The
 * daemon is linked without, and reads the clock inline (lib/time_ns.h).
 *
 * Timers of other threads than the one that called test_clock_stop() keep real time, as do poll() and
 * waits for condition variables.
 */
#ifndef TESTS_TEST_CLOCK_H
#define TESTS_TEST_CLOCK_H

#include <stdint.h>

extern struct test_clock {
	unsigned int sleeps; /* of the test's own thread, since the clock was stopped */
	uint64_t slept_us;   /* their sum */

	/* Called at each of them, where the test sets it after test_clock_stop(). */
	void (*slept)(void);
} test_clock;

/** test_clock_stop() - from now on; zeroes test_clock */
void test_clock_stop(void);

/** test_clock_run() - real time again; not with timers that were started meanwhile */
void test_clock_run(void);

/** test_clock_advance() - by @us microseconds; on the thread that stopped the clock */
void test_clock_advance(uint64_t us);

/** test_clock_due() - how many timers are due, and have not expired yet */
unsigned int test_clock_due(void);

#endif
