/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at all disks before a running server is asked to release them: could each be adopted?
 *
 * Each disk is examined by a task of its own, since its store may stall for ever. Main thread.
 */
#ifndef VDUSE_BLK_EXAMINE_H
#define VDUSE_BLK_EXAMINE_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "config.h"
#include "ring.h"
#include "task.h"

#define EXAMINE_WAIT_US 5000000

struct examine;

struct examination {
	struct examine *all;
	struct task task;
	int result;
	bool pending;
};

struct examine {
	/* Set by the caller. */
	const struct config *config;
	uint64_t wait_us; /* EXAMINE_WAIT_US; tests have less patience */
	/** @late: an examination has ended behind time, with 0 or -errno, which was logged */
	void (*late)(struct examine *examine, size_t disk, int result);

	struct examination *each; /* by the number of the device in @config */
	size_t pending;
	struct ring_timer timer;
	bool is_late;
};

/**
 * examine_all() - examine every device, and wait for that, five seconds at most
 *
 * Runs @ring. A disk whose examination takes longer is not a reason to fail: @examine->late is
 * called when it has ended. Return: 0; the first -errno, each of which was logged
 */
int __must_check examine_all(struct examine *examine, struct ring *ring);

/** examine_pending() - is it being examined still? */
bool examine_pending(const struct examine *examine, size_t disk);

/** examine_exit() - the ring is not run any more; what is pending keeps its memory */
void examine_exit(struct examine *examine);

#endif
