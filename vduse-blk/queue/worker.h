/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one thread with one io_uring, which serves any number of queues.
 *
 * A queue stays on the worker it was given. Nothing on the request path is shared with another
 * thread, so there are no locks on it.
 */
#ifndef VDUSE_BLK_WORKER_H
#define VDUSE_BLK_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "polling.h"
#include "ring.h"
#include "virtio_blk.h"
#include "virtq.h"

struct queue;

/*
 * Room for the pieces of one large request: beyond what a slot holds by itself. A fixed number per
 * worker, and one per queue that no other can take: a device whose store is slow may hold all the
 * rest. A queue that finds none waits until one is given back.
 */
union large_buffer {
	union large_buffer *next_free;
	struct iovec iov[VIRTQ_MAX_IOV];
	struct blk_range ranges[BLK_MAX_RANGES];
};

/* A first-in first-out list of queues, linked through a member of theirs. */
struct queue_list {
	struct queue *first;
	struct queue **last;
};

struct worker {
	struct ring ring;
	pthread_t thread;
	unsigned int index;
	bool stopping;

	struct queue_list scheduled; /* want a round */
	struct queue_list awake;     /* had a round since this thread slept: kicks not asked for */
	struct queue_list starved;   /* want a large buffer */

	struct polling polling; /* for poll_us = auto */
	uint64_t served;	/* requests that its queues have taken */

	struct iovec *chain_iov;  /* of the chain being parsed; VIRTQ_MAX_IOV */
	struct blk_range *ranges; /* of the request being parsed; BLK_MAX_RANGES */
	union large_buffer *large;
	unsigned int large_used; /* the first so many of them have been in use */
	union large_buffer *large_free;

	/* How worker_start() learns whether the thread came up. */
	pthread_mutex_t lock;
	pthread_cond_t started;
	int start_result; /* 1 while not known */
	struct ring_message stop_message;
};

/**
 * worker_start() - start the thread
 * @worker: zeroed
 * @index:  for its name
 * @place:  of all workers of the process; must outlive them
 *
 * Return: 0; -errno, logged
 */
int __must_check worker_start(struct worker *worker, unsigned int index,
			      struct polling_place *place);

/** worker_stop() - end the thread and free its memory; no queue may be on it any more */
void worker_stop(struct worker *worker);

/* The rest is for the worker's own thread. */

/** worker_schedule() - give @queue a round before the worker sleeps */
void worker_schedule(struct worker *worker, struct queue *queue);

/** worker_forget() - @queue, which is not scheduled, is going away */
void worker_forget(struct worker *worker, struct queue *queue);

/** worker_has_large() - one for @queue? If not, it is scheduled when any is given back */
bool worker_has_large(struct worker *worker, struct queue *queue);
union large_buffer *worker_get_large(struct worker *worker, struct queue *queue);
void worker_put_large(struct worker *worker, struct queue *owner, union large_buffer *buffer);

#endif
