// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "log.h"

#define RETRY_S 1

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* wakes the starter */
	pthread_cond_t changed; /* wakes threads that wait for the starter */
	pthread_t thread;
	unsigned int users;
	bool ready;
	bool apart; /* threads have private descriptor tables */
	bool starting, stopping;
	bool failing; /* the last thread could not be started; logged */
	struct thread_order *first;
	struct thread_order *current; /* being started */
} starter = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

/* Does pidfd_getfd() work? */
static bool can_fetch(void)
{
	int err = descriptors_fetch(INT_MAX); /* there is no such descriptor */

	if (err == -EBADF)
		return true;
	log_warn("pidfd_getfd: %s: if this server is killed while one store stalls, no other "
		 "server can open any of its stores",
		 strerror(-err));
	return false;
}

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

static void wait_a_second(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RETRY_S;
	pthread_cond_timedwait(&starter.wake, &starter.lock, &until);
}

/* Called with the lock, which it releases while it starts the thread. */
static void serve_order(void)
{
	struct thread_order *order = starter.first;
	int err;

	starter.first = order->next;
	order->waiting = false;
	starter.current = order;
	pthread_mutex_unlock(&starter.lock);
	err = start_thread(order); /* on success @order may already be invalid */
	if (err && !starter.failing)
		log_err("cannot start a thread for a store: %s; its operations wait, and the start "
			"is tried again every second",
			strerror(-err));
	starter.failing = err;
	pthread_mutex_lock(&starter.lock);
	starter.current = NULL;
	if (err) {
		order->waiting = true;
		order->next = starter.first;
		starter.first = order;
	}
	pthread_cond_broadcast(&starter.changed);
	if (err)
		wait_a_second();
}

static void *starter_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "store-starter");
	store_thread_enter();
	pthread_mutex_lock(&starter.lock);
	starter.ready = true;
	pthread_cond_broadcast(&starter.changed);
	while (!starter.stopping) {
		if (starter.first)
			serve_order();
		else
			pthread_cond_wait(&starter.wake, &starter.lock);
	}
	pthread_mutex_unlock(&starter.lock);
	return NULL;
}

/* Return: 0; -errno, logged */
static int start_starter(void)
{
	sigset_t all, before;
	int err;

	starter.ready = starter.failing = false;
	starter.apart = can_fetch();
	sigfillset(&all); /* the threads that it starts inherit the mask */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&starter.thread, NULL, starter_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		log_err("cannot start the store-starter thread: %s", strerror(-err));
		return err;
	}
	while (!starter.ready)
		pthread_cond_wait(&starter.changed, &starter.lock);
	return 0;
}

int store_threads_get(void)
{
	int err = 0;

	pthread_mutex_lock(&starter.lock);
	while (starter.starting || starter.stopping) /* another store is opened or closed */
		pthread_cond_wait(&starter.changed, &starter.lock);
	if (!starter.users) {
		starter.starting = true;
		err = start_starter();
		starter.starting = false;
		pthread_cond_broadcast(&starter.changed);
	}
	if (!err)
		starter.users++;
	pthread_mutex_unlock(&starter.lock);
	return err;
}

void store_threads_put(void)
{
	bool last;

	pthread_mutex_lock(&starter.lock);
	last = !--starter.users;
	starter.stopping = last;
	pthread_cond_signal(&starter.wake);
	pthread_mutex_unlock(&starter.lock);
	if (!last)
		return;
	pthread_join(starter.thread, NULL);
	pthread_mutex_lock(&starter.lock);
	starter.stopping = false;
	pthread_cond_broadcast(&starter.changed);
	pthread_mutex_unlock(&starter.lock);
}

void store_threads_order(struct thread_order *order)
{
	struct thread_order **link = &starter.first;

	pthread_mutex_lock(&starter.lock);
	while (*link)
		link = &(*link)->next;
	order->next = NULL;
	order->waiting = true;
	*link = order;
	pthread_cond_signal(&starter.wake);
	pthread_mutex_unlock(&starter.lock);
}

bool store_threads_withdraw(struct thread_order *order)
{
	struct thread_order **link = &starter.first;
	bool waiting;

	pthread_mutex_lock(&starter.lock);
	while (starter.current == order)
		pthread_cond_wait(&starter.changed, &starter.lock);
	waiting = order->waiting;
	while (waiting && *link != order)
		link = &(*link)->next;
	if (waiting)
		*link = order->next;
	order->waiting = false;
	pthread_mutex_unlock(&starter.lock);
	return waiting;
}

void store_thread_enter(void)
{
	if (starter.apart)
		close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
}

int store_thread_fetch(int fd)
{
	return starter.apart ? descriptors_fetch(fd) : fd;
}

void store_thread_close(int own)
{
	/* Not close(): the thread sanitizer takes the number for a descriptor of the process. */
	if (starter.apart && own >= 0)
		close_range((unsigned int)own, (unsigned int)own, 0);
}
