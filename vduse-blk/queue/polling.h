/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Polling that pays: whether a worker that ran out of work spins before it sleeps.
 *
 * What spinning gives depends on the disk, the driver, how much of its work waits for answers, and on
 * what a wake-up costs here and now. None of these is known, so it is tried: the same load is served
 * for a while with and without, and what took less time for a request stays for a longer while. A
 * device that is idle runs out of work once, and spins once at most.
 */
#ifndef VDUSE_BLK_POLLING_H
#define VDUSE_BLK_POLLING_H

#include <stdbool.h>
#include <stdint.h>

/* What the workers of a process know of each other and of the machine. */
struct polling_shared {
	uint32_t cpus;	/* that this process may use, when it was set up */
	uint32_t awake; /* workers that do not sleep now; any thread, atomically */
};

/* One worker's; its own thread's. */
struct polling {
	struct polling_shared *shared;
	uint64_t idle_since_ns;	 /* when it ran out of work; 0: it has some, or does not poll */
	uint64_t rests_until_ns; /* no spinning before: somebody else needs this CPU */

	/* The period under way: some gaps, all of them with or all without spinning. */
	bool spins;
	uint32_t gaps;	   /* that are over */
	uint64_t began_ns; /* 0: with the next gap */
	uint64_t served;   /* requests until then, as polling_idle() is told */

	/* What to do with the next ones. */
	bool choice;	     /* spin, while nothing is being compared */
	uint32_t pairs;	     /* of periods without and with, in the comparison under way */
	uint32_t spin_won;   /* of those */
	uint64_t cost_ns[2]; /* of a request, in the last one without and with */
	uint64_t usual_ns;   /* what the choice cost then */
	uint32_t unusual;    /* periods that cost much more or less, in a row */
	uint32_t stay;	     /* periods until the next comparison */
	uint32_t stay_next;  /* after that one, if it comes to the same */
};

void polling_shared_init(struct polling_shared *shared);

/** polling_init() - for a worker that does not run yet, which is like sleep */
void polling_init(struct polling *polling, struct polling_shared *shared);

/* The worker tells, around whatever may sleep. */
void polling_wakes(struct polling *polling);
void polling_sleeps(struct polling *polling);

/**
 * polling_idle() - nothing to do is left: a gap begins
 * @served: requests that the worker has taken in its life
 * @now_ns: time_now_ns()
 */
void polling_idle(struct polling *polling, uint64_t served, uint64_t now_ns);

/** polling_work() - there is something to do again */
void polling_work(struct polling *polling, uint64_t now_ns);

/**
 * polling_yielded() - the worker, while it was spinning, lent its CPU to whoever wants it
 *
 * One that wakes up is given a CPU before others. One that spins, and lends it to somebody who
 * computes, gets it back milliseconds later; then auto does not spin for a while.
 */
void polling_yielded(struct polling *polling, uint64_t began_ns, uint64_t now_ns);

/** polling_auto_us() - how long poll_us = auto spins in this gap; 0: not at all */
uint32_t polling_auto_us(const struct polling *polling);

#endif
