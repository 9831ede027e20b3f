/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads whose descriptor table holds one store and nothing else.
 *
 * A system call on a store that stalls may last for ever, even in a process that was killed. What
 * is in the descriptor table of that thread then stays open for as long: so the table must not hold
 * the stores and devices of other disks.
 *
 * A table that was copied must be emptied, and close() of a file of NFS or FUSE waits for its
 * server. So one thread, the starter, gets an empty table before any store is opened; it starts all
 * the others, and each of them fetches the descriptors of its store (pidfd_getfd()).
 */
#ifndef VDUSE_BLK_STORE_THREADS_H
#define VDUSE_BLK_STORE_THREADS_H

#include <stdbool.h>

#include "compiler.h"

/* Somebody wants a thread. Zeroed but for @main and @arg, which store_threads_order() needs. */
struct thread_order {
	void *(*main)(void *arg); /* begins with store_thread_enter() */
	void *arg;
	struct thread_order *next;
	bool waiting; /* in the list of the starter */
};

/**
 * store_threads_get() - have the starter run, until store_threads_put()
 *
 * To be called before the store is opened. Any thread. Return: 0; -errno, logged
 */
int __must_check store_threads_get(void);
void store_threads_put(void);

/**
 * store_threads_order() - have a detached thread started; any thread, never blocks
 *
 * All signals are blocked in the thread. A thread that cannot be started is tried again every
 * second; the first failure is logged. @order may be used again when @order->main runs.
 */
void store_threads_order(struct thread_order *order);

/**
 * store_threads_withdraw() - forget an order
 *
 * Return: true: the thread is not started; false: it is, or @order was not waiting
 */
bool store_threads_withdraw(struct thread_order *order);

/** store_thread_enter() - on a new thread: it gets a table of its own, with nothing in it */
void store_thread_enter(void);

/**
 * store_thread_fetch() - a descriptor of the process, on such a thread
 *
 * Return: the same open file here, to be given to store_thread_close(); -errno
 */
int store_thread_fetch(int fd);

/** store_thread_close() - also of those left at the end of the thread. May block */
void store_thread_close(int own);

#endif
