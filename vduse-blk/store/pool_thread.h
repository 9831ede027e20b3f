/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread of a store's pool (store_pool.h): its descriptors, and its messages to the workers. Each
 * function but pool_job_end() is called on that thread, without the lock of the pool.
 */
#ifndef VDUSE_BLK_POOL_THREAD_H
#define VDUSE_BLK_POOL_THREAD_H

#include "compiler.h"
#include "store_pool.h"

struct waker;

struct pool_thread {
	/* Set by the caller, constant. */
	const char *name;	       /* of the disk, for messages */
	const struct pool_fds *shared; /* in the process's table */
	unsigned int sync_count;

	struct pool_fds fds;  /* in the thread's table */
	struct waker *wakers; /* eventfds of rings, in the thread's table */
	int err;	      /* the reason why it has no @fds; 0: it has them */
};

/** pool_thread_enter() - get a private descriptor table, and fetch the descriptors of the store */
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
 * pool_thread_leave() - close all descriptors; may block
 *
 * The kernel may close the table of a thread some time after the thread has ended.
 */
void pool_thread_leave(struct pool_thread *thread);

/** pool_job_end() - set the result, and prepare the job's message */
void pool_job_end(struct pool_job *job, int result);

#endif
