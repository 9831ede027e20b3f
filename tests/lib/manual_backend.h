/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store in front of another one. It passes operations on, or holds them until the test completes
 * each of them: in any order, with any result. It aborts the test for an operation that no store may
 * get: outside of the disk, not of whole blocks, or with memory of another length.
 *
 * Operations complete on the worker that submitted them, as with any store. The functions below
 * are for the test's thread. For other fake stores see README.
 */
#ifndef TESTS_MANUAL_BACKEND_H
#define TESTS_MANUAL_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "store/backend.h"

/* Results of an operation. */
#define MANUAL_DO	  1 /* the result of the inner store, which does the operation */
#define MANUAL_SYNC_FAILS 2 /* the sync that makes it durable fails */

/** manual_backend_new() - a store with the limits of @inner, which it closes when it is closed */
struct backend *manual_backend_new(struct backend *inner);

/**
 * manual_touch_memory() - from now on, access each page of an operation when it comes and when it ends
 *
 * An address sanitizer then sees memory that is not there for all of that time.
 */
void manual_touch_memory(struct backend *backend);

/** manual_hold() - hold what is submitted from now on, or pass it on again */
void manual_hold(struct backend *backend, bool hold);

/** manual_held() - how many operations are held */
unsigned int manual_held(struct backend *backend);

/** manual_cancelled() - how many of those held, from the first on, were asked to end early */
unsigned int manual_cancelled(struct backend *backend);

/** manual_look() - what was asked for by the operation that came as number @index of those held */
struct backend_io manual_look(struct backend *backend, unsigned int index);

/** manual_io() - that operation itself, while it is held */
struct backend_io *manual_io(struct backend *backend, unsigned int index);

/**
 * manual_finish() - @count operations are done, beginning with number @index of those held
 * @result: 0, -errno or one of the above
 *
 * Those of one worker complete together, between two rounds of its queues.
 */
void manual_finish(struct backend *backend, unsigned int index, unsigned int count, int result);

/**
 * manual_complete() - one operation is done, before the function returns
 * @result: 0 or -errno
 *
 * For tests in which one thread does everything: the caller's thread is that of the worker.
 */
void manual_complete(struct backend *backend, unsigned int index, int result);

/*
 * Operations on this ring are not held: a vhost-user disk syncs its store there before it closes it. They
 * end with @manual_sync_error, and writes are lost; 0: as the store behind it ends them.
 */
extern struct ring *manual_sync_ring;
extern int manual_sync_error;

#endif
