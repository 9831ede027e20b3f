/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one thread with one io_uring, which runs any number of work items.
 *
 * An item stays on the worker it was given. Nothing that it does is shared with another thread, so
 * there are no locks on the request path. A virtqueue is one kind of item.
 */
#ifndef VDUSE_BLK_WORKER_H
#define VDUSE_BLK_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "iov_pool.h"
#include "list.h"
#include "polling.h"
#include "ring.h"
#include "virtio_blk.h"

struct work;

struct work_ops {
	/** @run: do what there is to do, for a bounded time; @work may be gone after it */
	void (*run)(struct work *work);

	/** @has_work: for polling: is there something to do? */
	bool (*has_work)(struct work *work);

	/** @before_sleep: ask to be woken; schedule @work where something came meanwhile */
	void (*before_sleep)(struct work *work);
};

/* Embedded in what a worker runs. Zeroed but for: */
struct work {
	const struct work_ops *ops;
	uint32_t poll_us; /* how long to poll for more of it; CONFIG_POLL_AUTO; 0: not at all */

	/* The worker's. */
	struct list_node scheduled;
	struct list_node awake;
};

struct worker {
	struct ring ring;
	pthread_t thread;
	unsigned int index;
	bool stopping;

	struct list scheduled; /* items to run */
	struct list awake;     /* ran since this thread slept: they have not asked to be woken */

	struct polling polling; /* for poll_us = auto */
	uint64_t served;	/* requests that its items have taken */

	struct iovec *chain_iov;  /* of the chain being parsed; VIRTQ_MAX_IOV */
	struct blk_range *ranges; /* of the request being parsed; BLK_MAX_RANGES */
	struct iov_pool iov_pool;

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
 * @shared: of all workers of the process; must outlive them
 *
 * Return: 0; -errno, logged
 */
int __must_check worker_start(struct worker *worker, unsigned int index,
			      struct polling_shared *shared);

/** worker_stop() - end the thread and free its memory; no item may be on it any more */
void worker_stop(struct worker *worker);

/* The rest is for the worker's own thread. */

/** worker_schedule() - run @work before the worker sleeps */
void worker_schedule(struct worker *worker, struct work *work);

/** worker_forget() - @work, which is not scheduled, is going away */
void worker_forget(struct work *work);

#endif
