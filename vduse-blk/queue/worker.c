// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "process/logger.h"
#include "pages.h"
#include "queue.h"
#include "sigbus.h"
#include "time_ns.h"

/* Operations prepared between two system calls; more only cost an earlier submit. */
#define WORKER_RING_ENTRIES 256

/* Large requests in flight at a time on one worker; 128 KiB in 4 KiB pieces needs one each. */
#define WORKER_LARGE_BUFFERS 256

static void list_init(struct queue_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static bool has_shared(const struct worker *worker)
{
	return worker->large_free || worker->large_used < WORKER_LARGE_BUFFERS;
}

/* One that was used before, so that those that nobody needed yet take no memory. */
static union large_buffer *get_shared(struct worker *worker)
{
	union large_buffer *buffer = worker->large_free;

	if (!buffer)
		return &worker->large[worker->large_used++];
	worker->large_free = buffer->next_free;
	return buffer;
}

static void put_shared(struct worker *worker, union large_buffer *buffer)
{
	buffer->next_free = worker->large_free;
	worker->large_free = buffer;
}

static int worker_alloc(struct worker *worker)
{
	worker->chain_iov = calloc(VIRTQ_MAX_IOV, sizeof(*worker->chain_iov));
	worker->ranges = calloc(BLK_MAX_RANGES, sizeof(*worker->ranges));
	worker->large = pages_alloc(WORKER_LARGE_BUFFERS * sizeof(*worker->large));
	if (!worker->chain_iov || !worker->ranges || !worker->large)
		return -ENOMEM;
	return 0;
}

static void worker_free(struct worker *worker)
{
	free(worker->chain_iov);
	free(worker->ranges);
	pages_free(worker->large, WORKER_LARGE_BUFFERS * sizeof(*worker->large));
}

static void worker_report(struct worker *worker, int result)
{
	pthread_mutex_lock(&worker->lock);
	worker->start_result = result;
	pthread_cond_signal(&worker->started);
	pthread_mutex_unlock(&worker->lock);
}

static void run_scheduled(struct worker *worker)
{
	struct queue *queue = worker->scheduled.first;

	/* The list as it is now: a queue that schedules itself again comes after the ring. */
	list_init(&worker->scheduled);
	while (queue) {
		struct queue *next = queue->next_scheduled;

		queue->scheduled = false;
		if (!queue->awake) {
			queue->awake = true;
			queue->next_awake = NULL;
			*worker->awake.last = queue;
			worker->awake.last = &queue->next_awake;
		}
		queue_round(queue); /* the queue may be gone after it */
		queue = next;
	}
}

/* How long to spin for the queues that were just busy; 0: not at all. */
static uint32_t poll_budget_us(const struct worker *worker)
{
	uint32_t budget = 0;

	for (const struct queue *queue = worker->awake.first; queue; queue = queue->next_awake)
		budget = MAX(budget, queue->poll_us == CONFIG_POLL_AUTO
					     ? polling_auto_us(&worker->polling)
					     : queue->poll_us);
	return budget;
}

static bool may_poll(const struct worker *worker)
{
	for (const struct queue *queue = worker->awake.first; queue; queue = queue->next_awake)
		if (queue->poll_us)
			return true;
	return false;
}

/* Schedules the queues that have not asked for kicks and have work. */
static void look_for_work(struct worker *worker)
{
	for (struct queue *queue = worker->awake.first; queue; queue = queue->next_awake)
		if (queue_has_work(queue))
			worker_schedule(worker, queue);
}

/*
 * Whoever else wants this CPU gets it. Without that the driver waited behind us for what we were
 * waiting for (two CPUs, 4 KiB reads at depth 1 with poll_us = 200: 2.4 to 4.0 thousand a second,
 * with it 4.6 to 4.9).
 */
static void give_way(struct polling *polling)
{
	uint64_t began_ns = time_now_ns();

	sched_yield();
	polling_gave_way(polling, began_ns, time_now_ns());
}

/*
 * Spins until a queue has work or an operation is complete. Return: there is something to do
 *
 * Events only cut a turn short: they may be said where there are none (ring_has_events()). So each
 * call looks at the queues, and time counts from when the worker ran out of work.
 */
static int poll(struct worker *worker)
{
	uint32_t budget_us;
	uint64_t deadline_ns;
	int err;

	if (ring_is_polling(&worker->ring)) { /* in ring_run(), once for each look at the queues */
		look_for_work(worker);
		return 1;
	}
	budget_us = poll_budget_us(worker);
	if (!budget_us)
		return 0;
	err = ring_run(&worker->ring, false);
	if (err)
		return err;
	deadline_ns = worker->polling.idle_since_ns + budget_us * 1000ull;
	do {
		look_for_work(worker);
		if (worker->scheduled.first)
			return 1;
		if (time_now_ns() > deadline_ns)
			return 0;
		give_way(&worker->polling);
	} while (!ring_has_events(&worker->ring));
	return 1;
}

/* Asks for kicks before sleeping; what came meanwhile is scheduled. */
static void prepare_sleep(struct worker *worker)
{
	struct queue *queue = worker->awake.first;

	list_init(&worker->awake);
	for (; queue; queue = queue->next_awake) {
		queue->awake = false;
		queue_prepare_sleep(queue);
	}
}

/* The one system call of a round: submits, and sleeps where there is nothing to do. */
static int enter_ring(struct worker *worker, bool sleep)
{
	int err;

	if (!sleep)
		return ring_run(&worker->ring, false);
	polling_sleeps(&worker->polling);
	err = ring_run(&worker->ring, true);
	polling_wakes(&worker->polling);
	return err;
}

static int worker_loop(struct worker *worker)
{
	int ret = 0;

	while (!worker->stopping && ret >= 0) {
		if (worker->scheduled.first) {
			if (worker->polling.idle_since_ns)
				polling_work(&worker->polling, time_now_ns());
			run_scheduled(worker);
		}
		if (!worker->scheduled.first) {
			if (!worker->polling.idle_since_ns && may_poll(worker))
				polling_idle(&worker->polling, worker->served, time_now_ns());
			ret = poll(worker);
			if (ret == 0)
				prepare_sleep(worker);
			if (ret < 0)
				break;
		}
		ret = enter_ring(worker, ret == 0 && !worker->scheduled.first);
	}
	return ret;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "worker-%u", worker->index);
	pthread_setname_np(pthread_self(), name);
	sigbus_guard_thread();

	/* Here, not in worker_start(): the ring belongs to the thread that sets it up. */
	err = ring_init(&worker->ring, WORKER_RING_ENTRIES);
	worker_report(worker, err);
	if (err)
		return NULL;
	polling_wakes(&worker->polling);
	if (worker_loop(worker))
		logger_abort(); /* logged; without its ring a worker can do nothing */
	polling_sleeps(&worker->polling);
	ring_exit(&worker->ring);
	return NULL;
}

int worker_start(struct worker *worker, unsigned int index, struct polling_place *place)
{
	int err;

	worker->index = index;
	worker->start_result = 1;
	polling_init(&worker->polling, place);
	list_init(&worker->scheduled);
	list_init(&worker->awake);
	list_init(&worker->starved);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->started, NULL);

	err = worker_alloc(worker);
	if (err)
		goto free_worker;
	err = -pthread_create(&worker->thread, NULL, worker_main, worker);
	if (err) {
		log_err("cannot start worker thread %u: %s", index, strerror(-err));
		goto free_worker;
	}

	pthread_mutex_lock(&worker->lock);
	while (worker->start_result > 0)
		pthread_cond_wait(&worker->started, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
	err = worker->start_result;
	if (err) {
		pthread_join(worker->thread, NULL);
		goto free_worker;
	}
	return 0;

free_worker:
	worker_free(worker);
	return err;
}

static void worker_stop_run(struct ring_message *message)
{
	struct worker *worker = container_of(message, struct worker, stop_message);

	worker->stopping = true;
}

void worker_stop(struct worker *worker)
{
	worker->stop_message.run = worker_stop_run;
	ring_post(&worker->ring, &worker->stop_message);
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}

void worker_schedule(struct worker *worker, struct queue *queue)
{
	if (queue->scheduled)
		return;
	queue->scheduled = true;
	queue->next_scheduled = NULL;
	*worker->scheduled.last = queue;
	worker->scheduled.last = &queue->next_scheduled;
}

void worker_forget(struct worker *worker, struct queue *queue)
{
	struct queue **link = &worker->awake.first;

	if (!queue->awake)
		return;
	while (*link != queue)
		link = &(*link)->next_awake;
	*link = queue->next_awake;
	if (!*link)
		worker->awake.last = link;
}

bool worker_has_large(struct worker *worker, struct queue *queue)
{
	if (likely(has_shared(worker) || !queue->own_large_taken))
		return true;
	if (!queue->starved) {
		queue->starved = true;
		queue->next_starved = NULL;
		*worker->starved.last = queue;
		worker->starved.last = &queue->next_starved;
	}
	return false;
}

union large_buffer *worker_get_large(struct worker *worker, struct queue *queue)
{
	if (likely(has_shared(worker)))
		return get_shared(worker);
	queue->own_large_taken = true;
	return queue->own_large;
}

void worker_put_large(struct worker *worker, struct queue *owner, union large_buffer *buffer)
{
	struct queue *queue = worker->starved.first;

	if (unlikely(buffer == owner->own_large))
		owner->own_large_taken = false;
	else
		put_shared(worker, buffer);
	/* All of them: the first may turn out to need none, and then would give none back. */
	list_init(&worker->starved);
	for (; queue; queue = queue->next_starved) {
		queue->starved = false;
		worker_schedule(worker, queue);
	}
}
