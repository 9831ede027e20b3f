// SPDX-License-Identifier: GPL-2.0-or-later
#include "thread_starter.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "log.h"

#define RETRY_S 1

/* Return: 0; -errno */
static int start_thread(const struct thread_order *order)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = -pthread_create(&thread, &attr, order->main, order->arg);
	pthread_attr_destroy(&attr);
	return err;
}

static void wait_a_second(struct thread_starter *starter)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RETRY_S;
	pthread_cond_timedwait(&starter->wake, &starter->lock, &until);
}

/* Called with the lock, which it releases while it starts the thread. */
static void serve_order(struct thread_starter *starter)
{
	struct thread_order *order = starter->first;
	int err;

	starter->first = order->next;
	order->waiting = false;
	starter->current = order;
	pthread_mutex_unlock(&starter->lock);
	err = start_thread(order); /* on success @order may already be invalid */
	if (err && !starter->failing)
		log_err("cannot start a thread for a store: %s; its operations wait, and the start "
			"is tried again every second",
			strerror(-err));
	starter->failing = err;
	pthread_mutex_lock(&starter->lock);
	starter->current = NULL;
	if (err) {
		order->waiting = true;
		order->next = starter->first;
		starter->first = order;
	}
	pthread_cond_broadcast(&starter->changed);
	if (err)
		wait_a_second(starter);
}

static void serve(struct thread_starter *starter)
{
	pthread_mutex_lock(&starter->lock);
	while (!starter->stopping) {
		if (starter->first)
			serve_order(starter);
		else
			pthread_cond_wait(&starter->wake, &starter->lock);
	}
	pthread_mutex_unlock(&starter->lock);
}

static void *starter_main(void *arg)
{
	struct thread_starter *starter = arg;
	int err;

	pthread_setname_np(pthread_self(), starter->name);
	err = starter->enter(starter);
	pthread_mutex_lock(&starter->lock);
	starter->entered = true;
	starter->result = err;
	pthread_cond_broadcast(&starter->changed);
	pthread_mutex_unlock(&starter->lock);
	if (err)
		return NULL;
	serve(starter);
	if (starter->leave)
		starter->leave(starter);
	return NULL;
}

static int create(struct thread_starter *starter)
{
	sigset_t all, before;
	int err;

	sigfillset(&all); /* the threads that it starts inherit the mask */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&starter->thread, NULL, starter_main, starter);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void starter_exit(struct thread_starter *starter)
{
	pthread_mutex_destroy(&starter->lock);
	pthread_cond_destroy(&starter->wake);
	pthread_cond_destroy(&starter->changed);
}

int thread_starter_start(struct thread_starter *starter)
{
	int err;

	pthread_mutex_init(&starter->lock, NULL);
	pthread_cond_init(&starter->wake, NULL);
	pthread_cond_init(&starter->changed, NULL);
	err = create(starter);
	if (err)
		goto out;
	pthread_mutex_lock(&starter->lock);
	while (!starter->entered)
		pthread_cond_wait(&starter->changed, &starter->lock);
	err = starter->result;
	pthread_mutex_unlock(&starter->lock);
	if (!err)
		return 0;
	pthread_join(starter->thread, NULL);
out:
	starter_exit(starter);
	return err;
}

void thread_starter_stop(struct thread_starter *starter)
{
	pthread_mutex_lock(&starter->lock);
	starter->stopping = true;
	pthread_cond_signal(&starter->wake);
	pthread_mutex_unlock(&starter->lock);
	pthread_join(starter->thread, NULL);
	starter_exit(starter);
}

void thread_starter_order(struct thread_starter *starter, struct thread_order *order)
{
	struct thread_order **link = &starter->first;

	pthread_mutex_lock(&starter->lock);
	while (*link)
		link = &(*link)->next;
	order->next = NULL;
	order->waiting = true;
	*link = order;
	pthread_cond_signal(&starter->wake);
	pthread_mutex_unlock(&starter->lock);
}

bool thread_starter_withdraw(struct thread_starter *starter, struct thread_order *order)
{
	struct thread_order **link = &starter->first;
	bool waiting;

	pthread_mutex_lock(&starter->lock);
	while (starter->current == order)
		pthread_cond_wait(&starter->changed, &starter->lock);
	waiting = order->waiting;
	while (waiting && *link != order)
		link = &(*link)->next;
	if (waiting)
		*link = order->next;
	order->waiting = false;
	pthread_mutex_unlock(&starter->lock);
	return waiting;
}
