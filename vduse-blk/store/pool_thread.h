/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread of a store's pool (store_pool.h): its descriptors, and its messages to the workers. Each
 * function but pool_job_end() is called on that thread, without the lock of the pool.
 */
#ifndef VDUSE_BLK_POOL_THREAD_H
#define VDUSE_BLK_POOL_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "compiler.h"
#include "store_pool.h"

struct waker;

/* The eventfds of rings in one descriptor table. */
struct pool_wakers {
	pthread_mutex_t lock;
	struct waker *first;
};

struct pool_thread {
	/* Set by the caller, constant. */
	const char *name;	       /* of the disk, for messages */
	const struct pool_fds *shared; /* in the process's table, or in this one if @held */
	bool held;		       /* the thread shares the table of the store's holder */
	unsigned int sync_count;

	struct pool_wakers *wakers; /* of the thread's table */

	struct pool_fds fds; /* in the thread's table */
	int err;	     /* the reason why it has no @fds; 0: it has them */
};

/** pool_thread_enter() - get a descriptor table without those of other disks, and the store's descriptors */
void pool_thread_enter(struct pool_thread *thread);

/**
 * pool_thread_check() - fetch the descriptors again, if that failed before
 *
 * Return: 0; -errno: fetching failed again, and the job fails
 */
int __must_check pool_thread_check(struct pool_thread *thread);

/** pool_thread_post() - send a job with its result back to its worker, which may use it at once */
void pool_thread_post(struct pool_thread *thread, struct pool_job *job, int result);

/**
 * pool_thread_leave() - close all descriptors; may block. No effect if @held: the table stays
 *
 * The kernel may close the table of a thread some time after the thread has ended.
 */
void pool_thread_leave(struct pool_thread *thread);

/** pool_wakers_init() - without eventfds */
void pool_wakers_init(struct pool_wakers *wakers);

/**
 * pool_wakers_exit() - free the list; no thread uses it any more
 * @close: close the eventfds, which are in the table of the calling thread; false: the table is another
 *         one, and ends with its last thread
 */
void pool_wakers_exit(struct pool_wakers *wakers, bool close);

/** pool_job_end() - set the result, and prepare the job's message */
void pool_job_end(struct pool_job *job, int result);

#endif
