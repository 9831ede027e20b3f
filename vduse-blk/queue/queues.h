/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All queues of one disk. Main thread.
 *
 * The front end creates them, and sends each command (start, stop, pause, quiesce, resume: queue.h)
 * to all of them. The command is complete when every queue has completed it.
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

	struct queue *all; /* NULL: no queues exist */
	uint32_t count;

	/* The current command. */
	uint32_t waiting_for; /* the number of queues that have not completed it */
	int result;	      /* 0, or -errno of a queue */
	void (*done)(struct queues *queues);
};

/**
 * queues_init() - create @count queues
 * @queues:      zeroed, except for the constant members of @disk
 * @workers:     each queue gets one of them in turn, beginning with *@next_worker
 * @next_worker: increased by the number of queues
 *
 * QUEUE_ADD must be the first command. Also sets the callback of @disk.backend for lost writes, and
 * reads from the inflight log whether writes were lost before. Return: 0; -ENOMEM, logged
 */
int __must_check queues_init(struct queues *queues, uint32_t count, struct worker *workers,
			     unsigned int worker_count, unsigned int *next_worker);

/** queues_exit() - after QUEUE_REMOVE */
void queues_exit(struct queues *queues);

/**
 * queues_command() - send a command to every queue
 * @done: called when all queues have completed it; @queues->result is 0, or -errno of one of them
 *
 * One command at a time. @verb and @features as queue_command().
 */
void queues_command(struct queues *queues, enum queue_verb verb, uint64_t features,
		    void (*done)(struct queues *queues));

/** queues_set_backend() - use another store from the next start on; no queue is started */
void queues_set_backend(struct queues *queues, struct backend *backend);

/**
 * queues_set_inflight() - use another inflight log from the next start on; no queue is started
 *
 * Also reads from it whether writes were lost.
 */
void queues_set_inflight(struct queues *queues, struct inflight *inflight);

/**
 * queues_clear_lost_writes() - after a reset: flushes may succeed again after lost writes
 *
 * The next driver has had no reply to a write or flush yet. Without a page cache it reads the bytes
 * that the store really has. With a page cache it might read data that was lost: no effect then.
 */
void queues_clear_lost_writes(struct queues *queues);

#endif
