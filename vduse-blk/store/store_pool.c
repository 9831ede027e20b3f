// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool_thread.h"
#include "store_holder.h"
#include "store_kern.h"
#include "store_threads.h"

#define IDLE_S 10

/* First in, first out. */
struct job_list {
	struct pool_job *first;
	struct pool_job **last;
};

struct store_pool {
	char *name;
	const struct pool_fds *fds;	/* of the process, or of the holder */
	struct pool_wakers held_wakers; /* of the table of @holder, which all threads share */
	struct store_holder *holder;	/* NULL: none */
	unsigned int sync_count;
	void (*lost)(void *owner);
	void *owner;

	pthread_mutex_t lock; /* protects the members below */
	pthread_cond_t wake;  /* wakes an idle thread */
	pthread_cond_t ended; /* a thread has ended */
	struct job_list jobs, syncs;
	struct job_list synced; /* their sync succeeded; they wait for other syncs, see @after */
	uint64_t began[POOL_SYNCS_MAX]; /* by descriptor: the number of the sync under way */
	uint64_t next_sync;
	unsigned int syncing; /* bit n: the n-th descriptor for syncs is in use */
	unsigned int threads; /* including the one that is ordered */
	unsigned int threads_max;
	unsigned int idle; /* threads that look for the next job, or wait for one */
	bool ordered;	   /* a thread is ordered and has not started yet */
	bool stopping;
	bool behind;
	struct thread_order order;
};

static void list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct job_list *list, struct pool_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static bool list_remove(struct job_list *list, struct pool_job *job)
{
	struct pool_job **link = &list->first;

	while (*link && *link != job)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = job->next;
	if (!*link)
		list->last = link;
	return true;
}

/* Posts a whole list. The submitter may use a job again as soon as it is posted. */
static void post_all(struct pool_thread *thread, struct pool_job *job, int result)
{
	while (job) {
		struct pool_job *next = job->next;

		pool_thread_post(thread, job, result);
		job = next;
	}
}

static bool can_sync(const struct store_pool *pool)
{
	return pool->syncs.first && pool->syncing != (1u << pool->sync_count) - 1;
}

static struct thread_starter *starter_of(const struct store_pool *pool)
{
	return pool->holder ? store_holder_starter(pool->holder) : store_threads_starter();
}

/* Called with the lock, after the number of jobs or threads has changed. */
static void pool_changed(struct store_pool *pool)
{
	bool work = pool->jobs.first || can_sync(pool);

	if (work && pool->idle) {
		pthread_cond_signal(&pool->wake);
	} else if (work && !pool->ordered && pool->threads < pool->threads_max) {
		pool->ordered = true;
		pool->threads++;
		thread_starter_order(starter_of(pool), &pool->order);
	}
	store_relaxed(&pool->behind,
		      work && pool->threads == pool->threads_max && !pool->ordered && !pool->idle);
}

/* Called with the lock. Return: true: there is a job; false: the thread is to end */
static bool wait_for_work(struct store_pool *pool)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	pool->idle++;
	while (!err && !pool->stopping && !pool->jobs.first && !can_sync(pool))
		err = pthread_cond_timedwait(&pool->wake, &pool->lock, &until);
	pool->idle--;
	return pool->jobs.first || can_sync(pool);
}

/* Return: 0; -errno: @pool->lost was called */
static int sync_once(struct store_pool *pool, struct pool_thread *thread, unsigned int slot)
{
	int err = pool_thread_check(thread);

	if (err)
		return err;
	do {
		err = store_kern_sync(thread->fds.sync[slot]);
	} while (err == -EINTR);
	if (err)
		pool->lost(pool->owner);
	return err;
}

/*
 * Called with the lock. The jobs of a successful sync wait for all other syncs under way: one of them
 * may get the report of a loss that concerns these jobs. A sync that begins later cannot.
 */
static void hold_synced(struct store_pool *pool, struct pool_job *job)
{
	while (job) {
		struct pool_job *next = job->next;

		job->after = pool->next_sync;
		list_add(&pool->synced, job);
		job = next;
	}
}

/* Called with the lock. Return: the jobs that wait for no sync any more */
static struct pool_job *take_synced(struct store_pool *pool)
{
	struct pool_job *first = pool->synced.first, **link = &pool->synced.first;
	uint64_t oldest = UINT64_MAX;

	for (unsigned int i = 0; i < pool->sync_count; i++)
		if (pool->syncing & 1u << i)
			oldest = MIN(oldest, pool->began[i]);
	while (*link && (*link)->after <= oldest)
		link = &(*link)->next;
	if (link == &pool->synced.first)
		return NULL;
	pool->synced.first = *link;
	*link = NULL;
	if (!pool->synced.first)
		pool->synced.last = &pool->synced.first;
	return first;
}

/*
 * do_syncs() and do_job() are called with the lock, and release it while they work. A thread that only
 * posts results counts as idle: otherwise the next job of the submitter would start another thread.
 */

static void do_syncs(struct store_pool *pool, struct pool_thread *thread)
{
	struct pool_job *jobs = pool->syncs.first;
	struct pool_job *synced;
	unsigned int slot = 0;
	int err;

	while (pool->syncing & 1u << slot)
		slot++;
	pool->syncing |= 1u << slot;
	pool->began[slot] = pool->next_sync++;
	list_init(&pool->syncs);
	pool_changed(pool);
	pthread_mutex_unlock(&pool->lock);
	err = sync_once(pool, thread, slot);
	pthread_mutex_lock(&pool->lock);
	pool->syncing &= ~(1u << slot);
	if (!err)
		hold_synced(pool, jobs);
	synced = take_synced(pool);
	pool->idle++;
	pthread_mutex_unlock(&pool->lock);
	if (err)
		post_all(thread, jobs, err);
	post_all(thread, synced, 0);
	pthread_mutex_lock(&pool->lock);
	pool->idle--;
}

static void do_job(struct store_pool *pool, struct pool_thread *thread)
{
	struct pool_job *job = pool->jobs.first;
	int err;

	list_remove(&pool->jobs, job);
	pool_changed(pool);
	pthread_mutex_unlock(&pool->lock);
	err = pool_thread_check(thread);
	if (!err)
		err = job->work(job, &thread->fds);
	pthread_mutex_lock(&pool->lock);
	pool->idle++;
	pthread_mutex_unlock(&pool->lock);
	pool_thread_post(thread, job, err);
	pthread_mutex_lock(&pool->lock);
	pool->idle--;
}

static void *pool_main(void *arg)
{
	struct store_pool *pool = arg;
	struct pool_wakers own_wakers = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct pool_thread thread = {
		.name = pool->name,
		.wakers = pool->holder ? &pool->held_wakers : &own_wakers,
		.shared = pool->fds,
		.held = pool->holder,
		.sync_count = pool->sync_count,
	};

	pool_thread_enter(&thread);
	pthread_mutex_lock(&pool->lock);
	pool->ordered = false;
	while (wait_for_work(pool)) {
		if (can_sync(pool))
			do_syncs(pool, &thread);
		else
			do_job(pool, &thread);
	}
	pthread_mutex_unlock(&pool->lock);
	pool_thread_leave(&thread); /* may block: the next job starts another thread */
	pthread_mutex_lock(&pool->lock);
	pool->threads--;
	pool_changed(pool);
	pthread_cond_signal(&pool->ended);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int store_pool_new(const char *name, const struct pool_fds *fds, unsigned int sync_count,
		   struct store_holder *holder, void (*lost)(void *owner), void *owner,
		   struct store_pool **out)
{
	struct store_pool *pool = calloc(1, sizeof(*pool));
	pthread_condattr_t attr;

	if (!pool)
		return -ENOMEM;
	pool->name = strdup(name);
	if (!pool->name) {
		free(pool);
		return -ENOMEM;
	}
	pool->fds = fds;
	pool->sync_count = sync_count;
	pool->holder = holder;
	pool->threads_max = POOL_THREADS;
	pool->lost = lost;
	pool->owner = owner;
	pool_wakers_init(&pool->held_wakers);
	list_init(&pool->jobs);
	list_init(&pool->syncs);
	list_init(&pool->synced);
	pool->order.main = pool_main;
	pool->order.arg = pool;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&pool->ended, NULL);
	*out = pool;
	return 0;
}

void store_pool_free(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	if (thread_starter_withdraw(starter_of(pool), &pool->order)) {
		pthread_mutex_lock(&pool->lock);
		pool->threads--;
		pthread_mutex_unlock(&pool->lock);
	}
	pthread_mutex_lock(&pool->lock);
	while (pool->threads)
		pthread_cond_wait(&pool->ended, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	pool_wakers_exit(&pool->held_wakers, false);
	pthread_cond_destroy(&pool->ended);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool->name);
	free(pool);
}

void store_pool_submit(struct store_pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	list_add(job->work ? &pool->jobs : &pool->syncs, job);
	pool_changed(pool);
	pthread_mutex_unlock(&pool->lock);
}

void store_pool_cancel(struct store_pool *pool, struct pool_job *job)
{
	bool removed;

	pthread_mutex_lock(&pool->lock);
	removed = list_remove(job->work ? &pool->jobs : &pool->syncs, job);
	pool_changed(pool);
	pthread_mutex_unlock(&pool->lock);
	if (!removed)
		return;
	pool_job_end(job, -ECANCELED);
	ring_post(job->ring, &job->message);
}

const char *store_pool_name(const struct store_pool *pool)
{
	return pool->name;
}

void store_pool_widen(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->threads_max = POOL_THREADS_WIDE;
	pthread_mutex_unlock(&pool->lock);
}

bool store_pool_is_behind(const struct store_pool *pool)
{
	return load_relaxed(&pool->behind);
}
