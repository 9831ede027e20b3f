// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "queue.h"

/* Operations prepared between two system calls; more only cost an earlier submit. */
#define WORKER_RING_ENTRIES 256

/* Large requests in flight at a time on one worker; 128 KiB in 4 KiB pieces needs one each. */
#define WORKER_LARGE_BUFFERS 256

static void list_init(struct queue_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static int worker_alloc(struct worker *worker)
{
	worker->chain_iov = calloc(VIRTQ_MAX_IOV, sizeof(*worker->chain_iov));
	worker->ranges = calloc(BLK_MAX_RANGES, sizeof(*worker->ranges));
	worker->large = calloc(WORKER_LARGE_BUFFERS, sizeof(*worker->large));
	if (!worker->chain_iov || !worker->ranges || !worker->large)
		return -ENOMEM;
	for (unsigned int i = 0; i < WORKER_LARGE_BUFFERS; i++)
		worker_put_large(worker, &worker->large[i]);
	return 0;
}

static void worker_free(struct worker *worker)
{
	free(worker->chain_iov);
	free(worker->ranges);
	free(worker->large);
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
		queue_round(queue);
		queue = next;
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "worker-%u", worker->index);
	pthread_setname_np(pthread_self(), name);

	/* Here, not in worker_start(): the ring belongs to the thread that sets it up. */
	err = ring_init(&worker->ring, WORKER_RING_ENTRIES);
	worker_report(worker, err);
	if (err)
		return NULL;

	while (!worker->stopping) {
		err = ring_run(&worker->ring, !worker->scheduled.first);
		if (err)
			abort(); /* our bug, or no memory for a system call: nothing can be served */
		run_scheduled(worker);
	}
	ring_exit(&worker->ring);
	return NULL;
}

int worker_start(struct worker *worker, unsigned int index)
{
	int err;

	worker->index = index;
	worker->start_result = 1;
	list_init(&worker->scheduled);
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

bool worker_has_large(struct worker *worker, struct queue *queue)
{
	if (likely(worker->large_free))
		return true;
	if (!queue->starved) {
		queue->starved = true;
		queue->next_starved = NULL;
		*worker->starved.last = queue;
		worker->starved.last = &queue->next_starved;
	}
	return false;
}

union large_buffer *worker_get_large(struct worker *worker)
{
	union large_buffer *buffer = worker->large_free;

	worker->large_free = buffer->next_free;
	return buffer;
}

void worker_put_large(struct worker *worker, union large_buffer *buffer)
{
	struct queue *queue = worker->starved.first;

	buffer->next_free = worker->large_free;
	worker->large_free = buffer;
	if (!queue)
		return;
	worker->starved.first = queue->next_starved;
	if (!worker->starved.first)
		worker->starved.last = &worker->starved.first;
	queue->starved = false;
	worker_schedule(worker, queue);
}
