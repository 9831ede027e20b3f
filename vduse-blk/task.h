/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that may sleep in the kernel for ever: opening a store, binding a driver, flushing a disk.
 *
 * Each task has a thread of its own, with a descriptor table of its own. So a task that sleeps holds
 * up nothing of any other disk, neither while the server runs nor after it was killed.
 */
#ifndef VDUSE_BLK_TASK_H
#define VDUSE_BLK_TASK_H

#include <stdbool.h>

#include "compiler.h"
#include "ring.h"

#define TASK_DESCRIPTORS_MAX 32

struct task {
	/* Set by the caller. */
	const char *name;		 /* of the thread, 15 characters at most */
	void (*work)(struct task *task); /* on the task's thread */
	void (*done)(struct task *task); /* on the ring's thread, after @work */

	/* task.c's own. */
	struct ring *ring;
	struct ring_message message;
	int *given[TASK_DESCRIPTORS_MAX];
	unsigned int given_count;
	int ours, theirs; /* ends of a socket pair that descriptors go through */
	bool lost;	  /* out: descriptors could not be taken over; each is -1 */
};

/**
 * task_start() - have @task->work done, then @task->done called
 * @task: stays where it is until @done is entered
 * @ring: of the calling thread
 *
 * Nobody waits for a task at the end of the process. Return: 0; -errno: neither will be called
 */
int __must_check task_start(struct task *task, struct ring *ring);

/**
 * task_give() - from @work: the descriptor @*fd is to become the process's
 * @fd: its number in the task's table; before @done it is replaced by the number in the process's
 *
 * The task's own is closed with its thread. -1 stays -1.
 */
void task_give(struct task *task, int *fd);

#endif
