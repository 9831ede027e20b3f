/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Polling that pays: for how long a worker that ran out of work spins before it sleeps.
 *
 * To spin is to bet a CPU that work comes sooner than a thread could be woken for it. The bet is made
 * only where that was so lately, and only while a CPU is left for whoever makes the work.
 */
#ifndef VDUSE_BLK_POLLING_H
#define VDUSE_BLK_POLLING_H

#include <stdint.h>

/* What the workers of a process know of each other and of the machine. */
struct polling_place {
	uint32_t cpus;	    /* online when it was set up */
	uint32_t wakeup_us; /* what it takes to wake a thread here, about */
	uint32_t awake;	    /* workers that do not sleep now; any thread, atomically */
};

/* One worker's; its own thread's. */
struct polling {
	struct polling_place *place;
	uint32_t mean_gap_us;	/* from running out of work to the next, over the last few */
	uint64_t idle_since_ns; /* when it ran out of work; 0: it has some, or does not poll */
};

/** polling_place_init() - takes a few wake-ups of time: measures them */
void polling_place_init(struct polling_place *place);

/** polling_init() - for a worker that does not run yet, which is like sleep */
void polling_init(struct polling *polling, struct polling_place *place);

/* The worker tells, around whatever may sleep. */
void polling_wakes(struct polling *polling);
void polling_sleeps(struct polling *polling);

/** polling_idle() - nothing to do is left: a gap begins */
void polling_idle(struct polling *polling);

/** polling_work() - there is something to do again */
void polling_work(struct polling *polling);

/** polling_auto_us() - how long poll_us = auto spins now; 0: not at all */
uint32_t polling_auto_us(const struct polling *polling);

#endif
