/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An eventfd of the front end that a worker writes: an interrupt, or the news that a ring is broken.
 *
 * write() could block the worker: the front end may fill the counter of the eventfd, and take O_NONBLOCK
 * away from it. io_uring waits elsewhere then. Usually the write is done at once, in the system call that
 * submits the next I/O.
 */
#ifndef VDUSE_BLK_VHOST_USER_SIGNAL_H
#define VDUSE_BLK_VHOST_USER_SIGNAL_H

#include <stdbool.h>

#include "queue/queue.h"
#include "ring.h"

struct vhost_user_signal {
	/*
	 * The worker may use @fd at any time, so its number stays: a new eventfd of the front end is put in
	 * its place by dup3(). -1: the front end has not passed one yet.
	 */
	int fd;
	bool wanted; /* @fd is the front end's. Atomic */

	/* The worker's. */
	struct ring_op op;
	struct queue *queue; /* of the write that is under way; NULL: none is */
	bool again;	     /* send() was called meanwhile */
};

/** vhost_user_signal_init() - without an eventfd */
void vhost_user_signal_init(struct vhost_user_signal *signal);

/** vhost_user_signal_set() - main thread. @fd: the front end's, owned by @signal; -1: send nothing more */
void vhost_user_signal_set(struct vhost_user_signal *signal, int fd);

/** vhost_user_signal_close() - main thread; the queue is stopped */
void vhost_user_signal_close(struct vhost_user_signal *signal);

/** vhost_user_signal_send() - on the worker of @queue. No effect without an eventfd */
void vhost_user_signal_send(struct vhost_user_signal *signal, struct queue *queue);

/** vhost_user_signal_idle() - is no write under way? Else cancels it, as transport_ops.idle; worker */
bool vhost_user_signal_idle(struct vhost_user_signal *signal);

#endif
