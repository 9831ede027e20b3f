// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The worker itself is included, not linked: its rounds are functions of its own, and a program
 * that defines worker_*() here does not take them from elsewhere.
 */
#include "hand_worker.h"

#include "fuzz.h"
#include "queue/worker.c"

void hand_worker_init(struct worker *worker)
{
	list_init(&worker->scheduled);
	list_init(&worker->awake);
	must(worker_alloc(worker) == 0);
	must(ring_init(&worker->ring, WORKER_RING_ENTRIES) == 0);
}

void hand_worker_round(struct worker *worker)
{
	if (!list_is_empty(&worker->scheduled))
		run_scheduled(worker);
	if (list_is_empty(&worker->scheduled))
		prepare_sleep(worker);
	must(ring_run(&worker->ring, false) == 0);
}

bool hand_worker_is_idle(const struct worker *worker)
{
	const struct pool *pool = &worker->iov_pool.shared;
	unsigned int count = 0;

	for (void *item = pool->free; item; item = *(void **)item)
		count++;
	return list_is_empty(&worker->scheduled) && list_is_empty(&worker->awake) &&
	       list_is_empty(&worker->iov_pool.waiting) && count == pool->touched;
}
