/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of one store, for operations on it that may block. A worker submits a job, and gets a
 * message when the job is done.
 *
 * A pool has at most POOL_THREADS threads. If threads do all reads or writes of the store, it has at
 * most POOL_THREADS_WIDE, since a thread has one operation under way, and a disk with encryption or a
 * distant file server needs many. The pool starts a thread when more jobs wait than idle threads
 * can take, and a thread ends after ten idle seconds. A thread holds the descriptors of its store
 * and no others (store_threads.h). So a store that stalls for ever stalls its own disk only, even
 * after the process was killed.
 *
 * Syncs. Linux reports a lost write once to each open file description. If two syncs shared a
 * description, one of them would get the report, and the other would succeed. So each sync under
 * way has a separate description, opened before anything was written. A sync completes all sync
 * jobs that waited when it began.
 *
 * A disk reports the loss of its cache to one flush only. So after a successful sync, its jobs wait for
 * all other syncs that are under way at its end. If one of these fails, @lost is called before the jobs
 * complete.
 */
#ifndef VDUSE_BLK_STORE_POOL_H
#define VDUSE_BLK_STORE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "ring.h"

#define POOL_THREADS	  16
#define POOL_THREADS_WIDE 128
#define POOL_SYNCS_MAX	  4

struct store_holder;
struct store_pool;

/* The descriptors of the store, in the descriptor table of the thread that runs the job. */
struct pool_fds {
	int fd;
	int sync[POOL_SYNCS_MAX];
};

/* One operation. The submitter must not change or free it before @done is called. */
struct pool_job {
	/*
	 * Called on a thread of the pool; may block. Return: @result. NULL: this job is a sync.
	 */
	int (*work)(struct pool_job *job, const struct pool_fds *fds);
	void (*done)(struct pool_job *job); /* called on the thread of @ring */
	struct ring *ring;
	int result; /* out; -ECANCELED: it was cancelled before it began */

	/* Private to the pool. */
	struct pool_job *next;
	uint64_t after; /* it waits for syncs with a smaller number */
	struct ring_message message;
};

/**
 * store_pool_new() - a pool without threads
 * @name:       of the disk, for messages; copied
 * @fds:        valid when the first job comes; must outlive the pool. Its @fd may be -1: the jobs need
 *              none
 * @sync_count: the number of descriptors in @fds->sync; 0: no job may be a sync
 * @holder:     has @fds in its table, and must outlive the pool; NULL: the process has them
 * @lost:       called after a sync has failed with another error than -EINTR, before @done of its
 *              jobs. Called on the thread of that sync, perhaps on several at the same time. Must
 *              not block
 * @owner:      passed to @lost
 *
 * Call it after store_threads_get(). Return: 0; -ENOMEM
 */
int __must_check store_pool_new(const char *name, const struct pool_fds *fds,
				unsigned int sync_count, struct store_holder *holder,
				void (*lost)(void *owner), void *owner, struct store_pool **out);

/** store_pool_free() - end the threads, and wait until they have closed their descriptors of the
 * store. No job may be in the pool */
void store_pool_free(struct store_pool *pool);

/** store_pool_submit() - run @job on a thread of the pool. Any thread; never blocks */
void store_pool_submit(struct store_pool *pool, struct pool_job *job);

/**
 * store_pool_cancel() - end @job with -ECANCELED unless a thread has begun it
 *
 * Call it on the thread of @job->ring. No effect on a job that was begun or is done.
 */
void store_pool_cancel(struct store_pool *pool, struct pool_job *job);

/** store_pool_name() - the name of the disk. Any thread */
const char *store_pool_name(const struct store_pool *pool);

/** store_pool_widen() - from now on threads do all reads or writes of the store. Any thread */
void store_pool_widen(struct store_pool *pool);

/** store_pool_is_behind() - do jobs wait while the pool has all its threads and all are busy? Any thread */
bool store_pool_is_behind(const struct store_pool *pool);

#endif
