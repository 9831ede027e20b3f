/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that starts other threads, which share its descriptor table.
 *
 * A new thread shares the table of the thread that starts it. So a table that only some threads of the
 * process are to have needs a thread that has it from the beginning and stays: the starter.
 */
#ifndef VDUSE_BLK_THREAD_STARTER_H
#define VDUSE_BLK_THREAD_STARTER_H

#include <pthread.h>
#include <stdbool.h>

#include "compiler.h"

/* A request for a thread. The caller zeroes it and sets @main and @arg. */
struct thread_order {
	void *(*main)(void *arg);
	void *arg;
	struct thread_order *next;
	bool waiting; /* in the list of the starter */
};

struct thread_starter {
	/* Set by the caller. */
	const char *name;			       /* of the thread, 15 characters at most */
	int (*enter)(struct thread_starter *starter);  /* its first act: 0; -errno, and it ends */
	void (*leave)(struct thread_starter *starter); /* its last act; NULL: none */

	/* Private to thread_starter.c. */
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* wakes the starter */
	pthread_cond_t changed; /* wakes threads that wait for the starter */
	pthread_t thread;
	bool entered;
	int result; /* of @enter */
	bool stopping;
	bool failing; /* the last thread could not be started; logged */
	struct thread_order *first;
	struct thread_order *current; /* being started */
};

/**
 * thread_starter_start() - start the thread, and wait for @enter
 * @starter: zeroed but for the members that the caller sets
 *
 * All signals are blocked in the starter and in the threads that it starts. Return: 0; -errno: of @enter,
 * or no thread could be started, not logged
 */
int __must_check thread_starter_start(struct thread_starter *starter);

/** thread_starter_stop() - end the thread, and wait until @leave has returned. No order may wait */
void thread_starter_stop(struct thread_starter *starter);

/**
 * thread_starter_order() - make the starter start a detached thread. Any thread; never blocks
 *
 * If it cannot be started, the starter tries again every second and logs the first failure. The caller
 * may use @order again when @order->main runs.
 */
void thread_starter_order(struct thread_starter *starter, struct thread_order *order);

/**
 * thread_starter_withdraw() - cancel an order
 *
 * Return: true: the thread will not start; false: it has started, or @order was not waiting
 */
bool thread_starter_withdraw(struct thread_starter *starter, struct thread_order *order);

#endif
