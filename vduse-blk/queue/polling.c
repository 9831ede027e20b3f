// SPDX-License-Identifier: GPL-2.0-or-later
#include "polling.h"

#include <sched.h>
#include <unistd.h>

#include "compiler.h"

/* The time to spin. To avoid a wake-up makes longer gaps hardly shorter. */
#define SPIN_US 200

/*
 * A period ends after PERIOD_GAPS gaps, or after PERIOD_NS if it has FEWEST_GAPS. A gap longer than
 * PAUSE_NS makes the period useless for a comparison, and a new one begins.
 */
#define PERIOD_GAPS 32
#define FEWEST_GAPS 8
#define PERIOD_NS   10000000ull
#define PAUSE_NS    100000000ull

/* If sched_yield() took longer, the CPU is contended: the worker does not spin for REST_NS. */
#define YIELD_MAX_NS 1000000ull
#define REST_NS	     100000000ull

/*
 * A comparison has PAIRS pairs of periods. The worker begins to spin if spinning won all pairs, and
 * continues if it won most. The choice is kept for HOLD_MIN periods, and twice as many each time a
 * comparison confirms it, up to HOLD_MAX.
 */
#define PAIRS	 3
#define HOLD_MIN 16
#define HOLD_MAX 128

void polling_shared_init(struct polling_shared *shared)
{
	cpu_set_t cpus;

	long online = sysconf(_SC_NPROCESSORS_ONLN);

	shared->cpus = online > 0 ? (uint32_t)online : 1;
	if (!sched_getaffinity(0, sizeof(cpus), &cpus)) /* fails where there are more than fit */
		shared->cpus = (uint32_t)CPU_COUNT(&cpus);
	shared->awake = 0;
}

void polling_init(struct polling *polling, struct polling_shared *shared)
{
	*polling = (struct polling){ .shared = shared, .hold_next = HOLD_MIN };
}

/* Relaxed: no other memory depends on this number. */
void polling_sleeps(struct polling *polling)
{
	__atomic_fetch_sub(&polling->shared->awake, 1, __ATOMIC_RELAXED);
}

void polling_wakes(struct polling *polling)
{
	__atomic_fetch_add(&polling->shared->awake, 1, __ATOMIC_RELAXED);
}

/* If this worker spins, is a CPU left for the tasks that make requests? */
static bool has_cpu(const struct polling *polling)
{
	return load_relaxed(&polling->shared->awake) < polling->shared->cpus;
}

static void compare(struct polling *polling)
{
	polling->pairs = polling->spin_won = 0;
	polling->hold_periods = polling->unusual = 0;
}

static void decide(struct polling *polling, bool spin)
{
	polling->hold_periods = spin == polling->choice ? polling->hold_next : HOLD_MIN;
	polling->hold_next = MIN(2 * polling->hold_periods, HOLD_MAX);
	polling->choice = spin;
	polling->usual_ns = polling->cost_ns[spin];
}

/* Decides as soon as the remaining pairs cannot change the result. */
static void pair_ends(struct polling *polling)
{
	uint32_t needed = polling->choice ? PAIRS / 2 + 1 : PAIRS;

	polling->pairs++;
	/* Spinning uses a CPU, so it must save an eighth of the time. */
	if (polling->cost_ns[true] < polling->cost_ns[false] / 8 * 7)
		polling->spin_won++;
	if (polling->spin_won == needed)
		decide(polling, true);
	else if (polling->pairs - polling->spin_won > PAIRS - needed)
		decide(polling, false);
}

/* Two successive periods: one alone may contain a pause, under an unchanged load. */
static bool is_unusual(struct polling *polling, uint64_t cost_ns)
{
	if (cost_ns <= 4 * polling->usual_ns && cost_ns >= polling->usual_ns / 4)
		polling->unusual = 0;
	else
		polling->unusual++;
	return polling->unusual == 2;
}

static void period_ends(struct polling *polling, uint64_t cost_ns)
{
	if (!polling->hold_periods) {
		polling->cost_ns[polling->spins] = cost_ns;
		if (polling->spins)
			pair_ends(polling);
		polling->spins = polling->hold_periods ? polling->choice : !polling->spins;
		return;
	}
	if (is_unusual(polling, cost_ns)) {
		polling->hold_next = HOLD_MIN;
		compare(polling);
	} else if (!--polling->hold_periods) {
		compare(polling);
	}
	polling->spins = polling->hold_periods && polling->choice;
}

/* A trial of spinning that costs twice the time ends early. */
static bool is_over(const struct polling *polling, uint64_t cost_ns, uint64_t now_ns)
{
	if (polling->gaps >= PERIOD_GAPS ||
	    (polling->gaps >= FEWEST_GAPS && now_ns - polling->began_ns > PERIOD_NS))
		return true;
	return !polling->hold_periods && polling->spins && polling->gaps >= FEWEST_GAPS / 2 &&
	       cost_ns > 2 * polling->cost_ns[false];
}

static void period_begins(struct polling *polling, uint64_t served, uint64_t now_ns)
{
	polling->gaps = 0;
	polling->began_ns = now_ns;
	polling->served = served;
}

void polling_idle(struct polling *polling, uint64_t served, uint64_t now_ns)
{
	uint64_t requests = MAX(served - polling->served, 1ull);
	uint64_t cost_ns = (now_ns - polling->began_ns) / requests;

	if (polling->idle_since_ns)
		return;
	polling->idle_since_ns = now_ns;
	if (!polling->began_ns) {
		period_begins(polling, served, now_ns);
	} else if (is_over(polling, cost_ns, now_ns)) {
		period_ends(polling, cost_ns);
		period_begins(polling, served, now_ns);
	}
}

void polling_work(struct polling *polling, uint64_t now_ns)
{
	if (!polling->idle_since_ns)
		return;
	polling->gaps++;
	if (now_ns - polling->idle_since_ns > PAUSE_NS)
		polling->began_ns = 0;
	polling->idle_since_ns = 0;
}

void polling_yielded(struct polling *polling, uint64_t began_ns, uint64_t now_ns)
{
	if (now_ns - began_ns > YIELD_MAX_NS)
		polling->rests_until_ns = now_ns + REST_NS;
}

uint32_t polling_auto_us(const struct polling *polling)
{
	if (!polling->spins || !has_cpu(polling))
		return 0;
	return polling->idle_since_ns < polling->rests_until_ns ? 0 : SPIN_US;
}
