/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits the log lines about a store that fails: one line when a kind of operation begins to fail,
 * the number of errors each minute while it fails, and one line when it works again.
 *
 * One object per disk. All workers may call it at the same time. While nothing fails, a successful
 * operation costs one load.
 */
#ifndef VDUSE_BLK_STORE_HEALTH_H
#define VDUSE_BLK_STORE_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "compiler.h"

/* A kind of operation works again when it succeeds this long after its last error. */
#define HEALTH_QUIET_NS (5ull * 1000 * 1000 * 1000)

/* How often the number of errors is logged. */
#define HEALTH_REPORT_NS (60ull * 1000 * 1000 * 1000)

#define HEALTH_OPS (BACKEND_WRITE_ZEROES + 1)

struct store_health {
	const char *name;     /* of the disk */
	unsigned int failing; /* bit n: enum backend_op n fails */
	pthread_mutex_t lock; /* of the rest */
	struct {
		uint64_t since_ns;    /* the first error */
		uint64_t last_ns;     /* the last one */
		uint64_t reported_ns; /* the last line */
		uint64_t errors;      /* since @since_ns */
		uint64_t unreported;  /* since @reported_ns */
	} ops[HEALTH_OPS];
};

/** store_health_init() - nothing fails. @name must outlive it */
void store_health_init(struct store_health *health, const char *name);

/** store_health_exit() - log the errors that were only counted. No operation may be under way */
void store_health_exit(struct store_health *health);

/**
 * store_health_failed() - @io failed with @err; it may be tried again
 * @queue: the queue of @io
 * @more:  text for the end of the log line, "" for none
 * @now_ns: CLOCK_MONOTONIC
 */
void store_health_failed(struct store_health *health, const struct backend_io *io, int err,
			 unsigned int queue, const char *more, uint64_t now_ns);

/* @op has succeeded, and store_health_fails(): logs a line if @op works again. */
void store_health_worked_slow(struct store_health *health, enum backend_op op, uint64_t now_ns);

/** store_health_fails() - does @op fail? Then call store_health_worked_slow() after a success */
static inline bool store_health_fails(const struct store_health *health, enum backend_op op)
{
	return unlikely(load_relaxed(&health->failing) & 1u << op);
}

#endif
