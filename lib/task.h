/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A task: work that may block in the kernel for ever, for example to open a store, to bind a
 * driver, or to flush a disk.
 *
 * Each task has its own thread with a private descriptor table. So a task that blocks does not
 * delay other disks, neither while the server runs nor after it was killed. A task that shares the
 * process's table and is blocked when the server is killed keeps all files of the server open.
 */
#ifndef LIB_TASK_H
#define LIB_TASK_H

#include <stdbool.h>

#include "compiler.h"
#include "passed_fds.h"
#include "ring.h"

#define TASK_DESCRIPTORS_MAX PASSED_FDS_MAX

struct task {
	/* Set by the caller. */
	const char *name;		 /* of the thread, 15 characters at most */
	void (*work)(struct task *task); /* called on the task's thread */
	void (*done)(struct task *task); /* called on the ring's thread, after @work */
	bool shares_descriptors;	 /* no private table: @work closes files of the process */

	/* Private to task.c, except for @lost. */
	struct ring *ring;
	struct ring_message message;
	int *given[TASK_DESCRIPTORS_MAX];
	unsigned int given_count;
	int ours, theirs; /* the ends of a socket pair for descriptors */
	int send_fd;	  /* @theirs, and post_fd: the ring's message_fd, in the task's table */
	int post_fd;
	bool lost; /* out: descriptors could not be transferred; each is -1 */
};

/**
 * task_start() - run @task->work on a new thread, then @task->done on this one
 * @task: must not move or be freed before @done is called
 * @ring: of the calling thread
 *
 * The process may end while a task runs. Return: 0; -errno: neither function is called
 */
int __must_check task_start(struct task *task, struct ring *ring);

/**
 * task_give() - transfer the descriptor *@fd to the process's table. Call it from @work
 * @fd: its number in the task's table. Before @done, task.c replaces it by the new number
 *
 * The task's copy is closed before @done is called. -1 stays -1.
 */
void task_give(struct task *task, int *fd);

/** tasks_running() - how many tasks of the process have not been completed by @done? Any thread */
unsigned int tasks_running(void);

#endif
