// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "store_threads.h"

/* The eventfd that wakes a ring, in a descriptor table. */
struct waker {
	struct waker *next;
	const struct ring *ring; /* outlives the pool */
	int fd;
};

static void job_message(struct ring_message *message)
{
	struct pool_job *job = container_of(message, struct pool_job, message);

	job->done(job);
}

void pool_job_end(struct pool_job *job, int result)
{
	job->result = result;
	job->message.run = job_message;
}

static int fetch_waker(struct pool_wakers *wakers, const struct ring *ring)
{
	struct waker *waker = calloc(1, sizeof(*waker));

	if (!waker)
		return -ENOMEM;
	*waker = (struct waker){
		.next = wakers->first,
		.ring = ring,
		.fd = store_thread_fetch(ring->message_fd),
	};
	if (waker->fd < 0) {
		int err = waker->fd;

		free(waker);
		return err;
	}
	wakers->first = waker;
	return waker->fd;
}

static int find_or_fetch_waker(struct pool_wakers *wakers, const struct ring *ring)
{
	const struct waker *waker;
	int fd;

	pthread_mutex_lock(&wakers->lock);
	for (waker = wakers->first; waker && waker->ring != ring;)
		waker = waker->next;
	fd = waker ? waker->fd : fetch_waker(wakers, ring);
	pthread_mutex_unlock(&wakers->lock);
	return fd;
}

/* Without the eventfd the completion cannot reach the worker, so this tries until it succeeds. */
static int waker_fd(struct pool_thread *thread, const struct ring *ring)
{
	int fd;

	while ((fd = find_or_fetch_waker(thread->wakers, ring)) < 0) {
		log_err("%s: cannot send a completion to the worker: %s; trying again",
			thread->name, strerror(-fd));
		sleep(1);
	}
	return fd;
}

void pool_thread_post(struct pool_thread *thread, struct pool_job *job, int result)
{
	int fd = waker_fd(thread, job->ring);

	pool_job_end(job, result);
	ring_post_by(job->ring, &job->message, fd);
}

/* Return: 0; -errno: a descriptor is missing */
static int fetch_fds(struct pool_thread *thread)
{
	struct pool_fds *own = &thread->fds;
	int err;

	if (thread->held) {
		*own = *thread->shared;
		return 0;
	}
	own->fd = -1;
	if (thread->shared->fd >= 0)
		own->fd = store_thread_fetch(thread->shared->fd);
	err = thread->shared->fd >= 0 ? MIN(own->fd, 0) : 0;
	for (unsigned int i = 0; i < thread->sync_count; i++) {
		own->sync[i] = store_thread_fetch(thread->shared->sync[i]);
		err = MIN(own->sync[i], err);
	}
	return err;
}

static void close_fds(const struct pool_thread *thread)
{
	const struct pool_fds *own = &thread->fds;

	store_thread_close(own->fd);
	for (unsigned int i = 0; i < thread->sync_count; i++)
		store_thread_close(own->sync[i]);
}

int pool_thread_check(struct pool_thread *thread)
{
	if (likely(!thread->err))
		return 0;
	close_fds(thread);
	thread->err = fetch_fds(thread);
	return thread->err;
}

void pool_thread_enter(struct pool_thread *thread)
{
	pthread_setname_np(pthread_self(), "store");
	if (!thread->held)
		store_thread_enter();
	thread->err = fetch_fds(thread);
	if (thread->err)
		log_err("%s: a thread of the store cannot fetch its descriptors: %s", thread->name,
			strerror(-thread->err));
}

void pool_wakers_init(struct pool_wakers *wakers)
{
	pthread_mutex_init(&wakers->lock, NULL);
	wakers->first = NULL;
}

void pool_wakers_exit(struct pool_wakers *wakers, bool close)
{
	struct waker *waker;

	while ((waker = wakers->first)) {
		wakers->first = waker->next;
		if (close)
			store_thread_close(waker->fd);
		free(waker);
	}
	pthread_mutex_destroy(&wakers->lock);
}

void pool_thread_leave(struct pool_thread *thread)
{
	if (thread->held)
		return;
	close_fds(thread);
	pool_wakers_exit(thread->wakers, true);
}
