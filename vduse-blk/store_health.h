/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log says of a store that fails: one line when one kind of operation begins to fail, a
 * count each minute while it goes on, one line when that kind works again.
 *
 * One object for each disk. Workers call at the same time; a success costs one load while nothing
 * fails.
 */
#ifndef VDUSE_BLK_STORE_HEALTH_H
#define VDUSE_BLK_STORE_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "compiler.h"

/* An operation works again when the last error is so long ago: a bad block is not the whole disk. */
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

/** store_health_exit() - no operation is under way. Logs what was only counted */
void store_health_exit(struct store_health *health);

/**
 * store_health_failed() - @io ended with @err, and its driver is told so, or it is tried again
 * @queue: that it belongs to
 * @more:  what else the line says, "" for nothing
 * @now_ns: CLOCK_MONOTONIC
 */
void store_health_failed(struct store_health *health, const struct backend_io *io, int err,
			 unsigned int queue, const char *more, uint64_t now_ns);

/* store_health_worked() where @op has failed. */
void store_health_worked_slow(struct store_health *health, enum backend_op op, uint64_t now_ns);

/** store_health_fails() - has @op failed, so that store_health_worked_slow() wants to know? */
static inline bool store_health_fails(const struct store_health *health, enum backend_op op)
{
	return unlikely(load_relaxed(&health->failing) & 1u << op);
}

#endif
