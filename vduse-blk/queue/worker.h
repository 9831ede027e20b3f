/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one thread with one io_uring, which runs any number of work items.
 *
 * An item never changes its worker, and no other thread accesses it, so there are no locks on the
 * request path. A virtqueue is one kind of work item.
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
	/** @run: do the work, for a bounded time; @work may be freed during the call */
	void (*run)(struct work *work);

	/** @has_work: for polling: should @run be called? */
	bool (*has_work)(struct work *work);

	/** @before_sleep: ask for a wake-up; if work arrived in the meantime, schedule @work */
	void (*before_sleep)(struct work *work);
};

/* A work item, embedded in a larger struct. Zeroed, except for the first two members. */
struct work {
	const struct work_ops *ops;
	uint32_t poll_us; /* the time to poll for more work; CONFIG_POLL_AUTO; 0: do not poll */

	/* Used by the worker. */
	struct list_node scheduled;
	struct list_node awake;
};

struct worker {
	struct ring ring;
	pthread_t thread;
	unsigned int index;
	bool stopping;

	struct list scheduled; /* items to run */
	struct list awake; /* items that ran since this thread slept: before_sleep() is to come */

	struct polling polling; /* for poll_us = auto */
	uint64_t served;	/* requests that its queues have popped */

	struct iovec *chain_iov;  /* of the chain being parsed; VIRTQ_MAX_IOV */
	struct blk_range *ranges; /* of the request being parsed; BLK_MAX_RANGES */
	struct iov_pool iov_pool;

	/* For the result of the start, from the thread to worker_start(). */
	pthread_mutex_t lock;
	pthread_cond_t started;
	int start_result; /* 1 while not known */
	struct ring_message stop_message;
};

/**
 * worker_start() - start the thread
 * @worker: zeroed
 * @index:  for the name of the thread
 * @shared: the same for all workers of the process; must outlive them
 *
 * Return: 0; -errno, logged
 */
int __must_check worker_start(struct worker *worker, unsigned int index,
			      struct polling_shared *shared);

/** worker_stop() - end the thread and free its memory; the worker must have no items */
void worker_stop(struct worker *worker);

/* The following functions are called on the worker's own thread. */

/** worker_schedule() - run @work before the worker sleeps */
void worker_schedule(struct worker *worker, struct work *work);

/** worker_forget() - remove @work from the worker; it must not be scheduled */
void worker_forget(struct work *work);

#endif
