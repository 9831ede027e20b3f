/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All queues of one disk, and what they share. Main thread.
 *
 * A front end makes them, and tells them what its driver wants: start, stop, quiesce because memory
 * moves, resume, report state (queue.h). The completion comes when every queue has obeyed.
 */
#ifndef VDUSE_BLK_QUEUES_H
#define VDUSE_BLK_QUEUES_H

#include <stdint.h>

#include "compiler.h"
#include "queue.h"
#include "queue_disk.h"
#include "worker.h"

struct queues {
	struct queue_disk disk;

	struct queue *all; /* NULL: there are none */
	uint32_t count;

	/* The command under way. */
	uint32_t waiting_for; /* queues that have not completed it */
	int result;	      /* the first failure among them */
	void (*done)(struct queues *queues);
};

/**
 * queues_init() - make @count queues
 * @queues:      zeroed, but for what @disk says is constant
 * @workers:     the queues are spread over them, beginning at *@next_worker
 * @next_worker: moves on by the number of queues
 *
 * They are on no worker yet: QUEUE_ADD is the first command. Also watches @disk.backend for lost
 * writes, and recalls those that the inflight log has noted. Return: 0; -ENOMEM, logged
 */
int __must_check queues_init(struct queues *queues, uint32_t count, struct worker *workers,
			     unsigned int worker_count, unsigned int *next_worker);

/** queues_exit() - after QUEUE_REMOVE */
void queues_exit(struct queues *queues);

/**
 * queues_command() - tell every queue the same
 * @done: called when all have completed it; @queues->result is 0 or the first -errno
 *
 * One at a time. @verb and @features as queue_command().
 */
void queues_command(struct queues *queues, enum queue_verb verb, uint64_t features,
		    void (*done)(struct queues *queues));

/**
 * queues_clear_lost_writes() - the driver was reset: flushes may succeed again after lost writes
 *
 * The next driver was told nothing yet. Without a page cache it reads what the store really has;
 * with one it might read what was lost, so there is no effect then.
 */
void queues_clear_lost_writes(struct queues *queues);

#endif
