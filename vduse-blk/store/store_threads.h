/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads whose descriptor table holds the descriptors of one store and nothing else.
 *
 * A system call on a store that stalls may last for ever, even after the process was killed. Until it
 * ends, all files in the descriptor table of its thread stay open. So the table must not hold the
 * stores and devices of other disks.
 *
 * A new thread with a copied table would have to close all other descriptors, and close() of a file
 * on NFS or FUSE waits for its server. So one thread, the starter, gets an empty table before any
 * store is opened. It starts all other threads, and each of them fetches the descriptors of its
 * store with pidfd_getfd(). The threads of a slow store share the table of its holder (store_holder.h).
 */
#ifndef VDUSE_BLK_STORE_THREADS_H
#define VDUSE_BLK_STORE_THREADS_H

#include <stdbool.h>

#include "compiler.h"
#include "thread_starter.h"

/**
 * store_threads_get() - start the starter, unless it runs. store_threads_put() ends it
 *
 * Call it before the store is opened. Any thread. Return: 0; -errno, logged
 */
int __must_check store_threads_get(void);
void store_threads_put(void);

/** store_threads_starter() - between store_threads_get() and _put(): starts threads that call
 * store_thread_enter() first */
struct thread_starter *store_threads_starter(void);

/** store_threads_apart() - have threads private tables? If not, pidfd_getfd() does not work here */
bool store_threads_apart(void);

/** store_thread_enter() - give the calling new thread a private table with descriptors 0 to 2 only */
void store_thread_enter(void);

/**
 * store_thread_fetch() - copy the process's descriptor @fd into the table of the calling thread
 *
 * Return: a descriptor, for store_thread_close(); -errno
 */
int store_thread_fetch(int fd);

/** store_thread_close() - close what store_thread_fetch() returned. May block */
void store_thread_close(int own);

#endif
