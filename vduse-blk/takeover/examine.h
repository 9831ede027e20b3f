/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Examines all disks before a running server is asked to release them: can each be adopted?
 *
 * Each disk has its own task, since its store may stall for ever. Main thread.
 */
#ifndef VDUSE_BLK_EXAMINE_H
#define VDUSE_BLK_EXAMINE_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "config/config.h"
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
	uint64_t wait_us; /* 0: EXAMINE_WAIT_US; tests set less */
	/** @late: an examination has ended after @wait_us, with 0 or -errno, logged */
	void (*late)(struct examine *examine, size_t disk, int result);

	struct examination *each; /* by the number of the device in @config */
	size_t pending;
	struct ring_timer timer;
	bool is_late;
};

/**
 * examine_all() - examine every device, and wait for that, @wait_us at most
 *
 * Runs @ring. An examination that takes longer is no failure: @examine->late is called when it has
 * ended. Return: 0; the first -errno. Each failure is logged
 */
int __must_check examine_all(struct examine *examine, struct ring *ring);

/** examine_pending() - is the examination of @disk still running? */
bool examine_pending(const struct examine *examine, size_t disk);

/** examine_exit() - call it when the ring is not run any more. Pending tasks keep their memory */
void examine_exit(struct examine *examine);

#endif
