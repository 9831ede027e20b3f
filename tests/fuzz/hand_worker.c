// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The worker itself is included, not linked: its rounds are functions of its own, and a program
 * that defines worker_*() here does not take them from elsewhere.
 */
#include "hand_worker.h"

#include "fuzz.h"
#include "worker.c"

void hand_worker_init(struct worker *worker)
{
	list_init(&worker->scheduled);
	list_init(&worker->awake);
	list_init(&worker->starved);
	must(worker_alloc(worker) == 0);
	must(ring_init(&worker->ring, WORKER_RING_ENTRIES) == 0);
}

void hand_worker_round(struct worker *worker)
{
	if (worker->scheduled.first)
		run_scheduled(worker);
	if (!worker->scheduled.first)
		prepare_sleep(worker);
	must(ring_run(&worker->ring, false) == 0);
}

bool hand_worker_is_idle(const struct worker *worker)
{
	const union large_buffer *buffer = worker->large_free;
	unsigned int count = 0;

	for (; buffer; buffer = buffer->next_free)
		count++;
	return !worker->scheduled.first && !worker->awake.first && !worker->starved.first &&
	       count == worker->large_used;
}
