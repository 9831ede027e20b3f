/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts threads whose descriptor tables are private from the beginning.
 *
 * A new thread shares the table of the thread that starts it. To leave the table of the process later
 * means to close copies of all its descriptors, and close() of a copy waits for the file system where a
 * store on FUSE or NFS has stalled. So one thread, the starter, leaves the table at the first call,
 * before any store is open, and starts all others.
 */
#ifndef LIB_TASK_STARTER_H
#define LIB_TASK_STARTER_H

#include "compiler.h"

/**
 * task_starter_run() - call @main on a new detached thread, whose first act must be descriptors_leave()
 *
 * The thread gets descriptors of the process by descriptors_fetch(). Waits for the start, not for @main.
 * Any thread. Return: 0; -ENOTSUP: pidfd_getfd() does not work here; other -errno
 */
int __must_check task_starter_run(void *(*main)(void *arg), void *arg);

/** task_starter_thread() - call @main on a new detached thread that shares this thread's table */
int __must_check task_starter_thread(void *(*main)(void *arg), void *arg);

#endif
