/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of one store, for the operations on it that may block: a worker hands them over and
 * gets a message when they are done.
 *
 * At most POOL_THREADS at a time; each is started when there is more to do than the threads that are
 * there can do at once, and ends when it was idle for ten seconds. A thread holds the descriptors of
 * its store and no others (store_threads.h), so a store that stalls for ever keeps its own disk
 * waiting and nothing else, even after the process was killed.
 *
 * Syncs. Linux reports lost writes once to each open file description. Two syncs that share one
 * would share the report: one of them would learn of the loss, and the other succeed. So each sync
 * under way has a description of its own, which was opened before anything was written. All syncs
 * that wait when one begins are done by it.
 */
#ifndef VDUSE_BLK_STORE_POOL_H
#define VDUSE_BLK_STORE_POOL_H

#include <stdbool.h>

#include "compiler.h"
#include "ring.h"

#define POOL_THREADS   16
#define POOL_SYNCS_MAX 4

struct store_pool;

/* What a pool works with: descriptors of the store, in the table of the thread that works. */
struct pool_fds {
	int fd;
	int sync[POOL_SYNCS_MAX];
};

/* One operation. The submitter's, but for what is marked, until @done. */
struct pool_job {
	/*
	 * On a thread of the pool; may block. Return: @result. NULL: this job is a sync.
	 */
	int (*work)(struct pool_job *job, const struct pool_fds *fds);
	void (*done)(struct pool_job *job); /* on the thread of @ring */
	struct ring *ring;
	int result; /* out; -ECANCELED: it was not begun */

	struct pool_job *next;	     /* the pool's */
	struct ring_message message; /* likewise */
};

/**
 * store_pool_new() - a pool without threads
 * @name:       of the disk, for messages; must outlive the pool
 * @fds:        of the process, when the first job comes; must outlive the pool
 * @sync_count: so many of @fds->sync there are; 0: no job may be a sync
 * @lost:       a sync has failed, with another error than -EINTR: called on the thread that did it,
 *              before any job hears of that. May be called by several threads. Must not block
 *
 * After store_threads_get(). Return: 0; -ENOMEM
 */
int __must_check store_pool_new(const char *name, const struct pool_fds *fds,
				unsigned int sync_count, void (*lost)(void *owner), void *owner,
				struct store_pool **out);

/** store_pool_free() - ends the threads; no job may be in the pool. Waits for a close of the store */
void store_pool_free(struct store_pool *pool);

/** store_pool_submit() - have @job done; any thread, never blocks */
void store_pool_submit(struct store_pool *pool, struct pool_job *job);

/**
 * store_pool_cancel() - take @job out where it was not begun: it is done, with -ECANCELED
 *
 * One that was begun goes on. From the thread of @job->ring; no effect where @job->done is due.
 */
void store_pool_cancel(struct store_pool *pool, struct pool_job *job);

/** store_pool_is_behind() - do jobs wait while all threads that may be are busy? From any thread */
bool store_pool_is_behind(const struct store_pool *pool);

#endif
