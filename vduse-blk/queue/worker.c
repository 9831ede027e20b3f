// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "config/config.h"
#include "process/logger.h"
#include "sigbus.h"
#include "time_ns.h"

/* Operations prepared between two system calls. More of them are submitted earlier. */
#define WORKER_RING_ENTRIES 256

static int worker_alloc(struct worker *worker)
{
	worker->chain_iov = calloc(VIRTQ_MAX_IOV, sizeof(*worker->chain_iov));
	worker->ranges = calloc(BLK_MAX_RANGES, sizeof(*worker->ranges));
	if (!worker->chain_iov || !worker->ranges)
		return -ENOMEM;
	return iov_pool_init(&worker->iov_pool);
}

static void worker_free(struct worker *worker)
{
	free(worker->chain_iov);
	free(worker->ranges);
	iov_pool_exit(&worker->iov_pool);
}

static void worker_report(struct worker *worker, int result)
{
	pthread_mutex_lock(&worker->lock);
	worker->start_result = result;
	pthread_cond_signal(&worker->started);
	pthread_mutex_unlock(&worker->lock);
}

static struct work *awake_work(struct list_node *node)
{
	return container_of(node, struct work, awake);
}

static void run_scheduled(struct worker *worker)
{
	struct list_node *node;
	struct list now;

	/* A copy of the list: an item that schedules itself again runs after ring_run(). */
	list_init(&now);
	list_move(&worker->scheduled, &now);
	while ((node = list_take(&now))) {
		struct work *work = container_of(node, struct work, scheduled);

		if (!list_has(&work->awake))
			list_add(&worker->awake, &work->awake);
		work->ops->run(work);
	}
}

/* The time to poll, for all items that ran since the last sleep; 0: do not poll. */
static uint32_t poll_budget_us(const struct worker *worker)
{
	uint32_t budget = 0;

	list_for_each (node, &worker->awake) {
		uint32_t poll_us = awake_work(node)->poll_us;

		budget = MAX(budget, poll_us == CONFIG_POLL_AUTO ? polling_auto_us(&worker->polling)
								 : poll_us);
	}
	return budget;
}

static bool may_poll(const struct worker *worker)
{
	list_for_each (node, &worker->awake)
		if (awake_work(node)->poll_us)
			return true;
	return false;
}

/* Schedules the items that have work and have not asked for a wake-up. */
static void look_for_work(struct worker *worker)
{
	list_for_each (node, &worker->awake) {
		struct work *work = awake_work(node);

		if (work->ops->has_work(work))
			worker_schedule(worker, work);
	}
}

/*
 * Lets other tasks use this CPU. Without it, the client may wait for this CPU while the worker
 * polls for the client's requests (two CPUs, 4 KiB reads at depth 1 with poll_us = 200: 2.4 to 4.0
 * thousand a second, with it 4.6 to 4.9).
 */
static void yield_cpu(struct polling *polling)
{
	uint64_t began_ns = time_now_ns();

	sched_yield();
	polling_yielded(polling, began_ns, time_now_ns());
}

/*
 * Spins until an item has work or an operation may have completed.
 *
 * ring_has_events() can be true without an event. So each call checks the items first, and the time
 * counts from when the worker ran out of work. Return: 1: there may be work; 0: none; -errno
 */
static int poll(struct worker *worker)
{
	uint32_t budget_us;
	uint64_t deadline_ns;
	int err;

	if (ring_is_polling(
		    &worker->ring)) { /* ring_run() polls the disk, in turn with the items */
		look_for_work(worker);
		return 1;
	}
	budget_us = poll_budget_us(worker);
	if (!budget_us)
		return 0;
	err = ring_run(&worker->ring, false); /* it may prepare more operations */
	if (err)
		return err;
	deadline_ns = worker->polling.idle_since_ns + budget_us * 1000ull;
	do {
		look_for_work(worker);
		if (!list_is_empty(&worker->scheduled) || ring_has_prepared(&worker->ring))
			return 1;
		if (time_now_ns() > deadline_ns)
			return 0;
		yield_cpu(&worker->polling);
	} while (!ring_has_events(&worker->ring));
	return 1;
}

static void prepare_sleep(struct worker *worker)
{
	struct list_node *node;

	while ((node = list_take(&worker->awake)))
		awake_work(node)->ops->before_sleep(awake_work(node));
}

/* The only system call of a round: submits operations, and sleeps if @sleep. */
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
		if (!list_is_empty(&worker->scheduled)) {
			if (worker->polling.idle_since_ns)
				polling_work(&worker->polling, time_now_ns());
			run_scheduled(worker);
		}
		if (list_is_empty(&worker->scheduled)) {
			if (!worker->polling.idle_since_ns && may_poll(worker))
				polling_idle(&worker->polling, worker->served, time_now_ns());
			ret = poll(worker);
			if (ret == 0)
				prepare_sleep(worker);
			if (ret < 0)
				break;
		}
		ret = enter_ring(worker, ret == 0 && list_is_empty(&worker->scheduled));
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
		logger_abort(); /* ring_run() has logged why: a worker without a ring is useless */
	polling_sleeps(&worker->polling);
	ring_exit(&worker->ring);
	return NULL;
}

int worker_start(struct worker *worker, unsigned int index, struct polling_shared *shared)
{
	int err;

	worker->index = index;
	worker->start_result = 1;
	polling_init(&worker->polling, shared);
	list_init(&worker->scheduled);
	list_init(&worker->awake);
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

void worker_schedule(struct worker *worker, struct work *work)
{
	if (!list_has(&work->scheduled))
		list_add(&worker->scheduled, &work->scheduled);
}

void worker_forget(struct work *work)
{
	list_remove(&work->awake);
}
