/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adaptive polling (poll_us = auto): should a worker that ran out of work spin before it sleeps?
 *
 * The benefit depends on the disk, on the load and on the cost of a wake-up, and none of them is
 * known. So the worker compares: it serves the load for periods without and with spinning, and
 * then keeps for many periods the choice that took less time for a request. A gap is the time
 * between two pieces of work. On an idle disk the worker spins once at most.
 */
#ifndef VDUSE_BLK_POLLING_H
#define VDUSE_BLK_POLLING_H

#include <stdbool.h>
#include <stdint.h>

/* Shared by all workers of the process. */
struct polling_shared {
	uint32_t cpus;	/* the number that this process may use, read at the start */
	uint32_t awake; /* the number of workers that do not sleep; changed atomically */
};

/* The state of one worker, used by its own thread only. */
struct polling {
	struct polling_shared *shared;
	uint64_t idle_since_ns;	 /* when it ran out of work; 0: it has some, or does not poll */
	uint64_t rests_until_ns; /* no spinning before: another task needs this CPU */

	/* The current period: a number of gaps, all with spinning or all without. */
	bool spins;
	uint32_t gaps;	   /* gaps of this period that have ended */
	uint64_t began_ns; /* 0: the period begins with the next gap */
	uint64_t served;   /* @served of polling_idle() when the period began */

	/* The comparison of periods without and with spinning, and its result. */
	bool choice;	     /* spin, between two comparisons */
	uint32_t pairs;	     /* pairs of periods in the current comparison */
	uint32_t spin_won;   /* pairs in which spinning was better */
	uint64_t cost_ns[2]; /* time for a request, in the last period without and with spinning */
	uint64_t usual_ns;   /* cost_ns of the choice at its comparison */
	uint32_t unusual;    /* successive periods with a very different cost */
	uint32_t hold_periods; /* periods until the next comparison; 0: comparing */
	uint32_t hold_next;    /* the next value of @hold_periods, if the choice does not change */
};

void polling_shared_init(struct polling_shared *shared);

/** polling_init() - for a worker that has not started: it counts as asleep */
void polling_init(struct polling *polling, struct polling_shared *shared);

/* Call these around a system call that may sleep. */
void polling_wakes(struct polling *polling);
void polling_sleeps(struct polling *polling);

/**
 * polling_idle() - the worker ran out of work: a gap begins; no effect during a gap
 * @served: requests that the worker has popped since its start
 * @now_ns: time_now_ns()
 */
void polling_idle(struct polling *polling, uint64_t served, uint64_t now_ns);

/** polling_work() - the worker has work again: the gap ends */
void polling_work(struct polling *polling, uint64_t now_ns);

/**
 * polling_yielded() - a spinning worker called sched_yield(), which began and ended at these times
 *
 * The scheduler prefers a task that wakes up to one that spins. Where sched_yield() took more than
 * a millisecond, another task computes on this CPU. Then the worker does not spin for a while.
 */
void polling_yielded(struct polling *polling, uint64_t began_ns, uint64_t now_ns);

/** polling_auto_us() - the time to spin in this gap with poll_us = auto; 0: do not spin */
uint32_t polling_auto_us(const struct polling *polling);

#endif
