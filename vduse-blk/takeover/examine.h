/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a takeover: examines whether each disk can be adopted.
 *
 * Each disk has its own task, since its store may stall for ever. Main thread.
 */
#ifndef VDUSE_BLK_EXAMINE_H
#define VDUSE_BLK_EXAMINE_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "config/config.h"
#include "list.h"
#include "ring.h"

#define EXAMINE_WAIT_US 5000000

struct examine {
	/* Set by the caller. */
	uint64_t wait_us; /* 0: EXAMINE_WAIT_US; tests set less */
	/** @late: the examination of disk @name has ended after @wait_us, with 0 or -errno, logged */
	void (*late)(struct examine *examine, const char *name, int result);

	struct list all; /* examinations */
	size_t pending;
	struct ring_timer timer;
	bool begun, is_late;
};

/**
 * examine_all() - examine every disk of @config, and wait until @wait_us at most
 *
 * Runs @ring. An examination that takes longer is no failure: @examine->late is called when it has
 * ended. Return: 0; the first -errno. Each failure is logged
 */
int __must_check examine_all(struct examine *examine, const struct config *config,
			     struct ring *ring);

/** examine_pending() - is the examination of disk @name still running? */
bool examine_pending(const struct examine *examine, const char *name);

/** examine_exit() - free everything that no pending task uses. Call it after the last ring_run() */
void examine_exit(struct examine *examine);

#endif
