/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions that the files of a queue share; all other files use queue.h. Called on the worker.
 *
 *     queue          rounds: drains the avail ring, publishes, interrupts
 *     queue_rings    maps the rings: at a start, after a crash, when memory has moved
 *     queue_command  executes the commands of the main thread
 */
#ifndef VDUSE_BLK_QUEUE_STEPS_H
#define VDUSE_BLK_QUEUE_STEPS_H

#include "queue.h"

extern const struct work_ops queue_work;

/** queue_set_state() - an atomic store, since other threads read the state */
static inline void queue_set_state(struct queue *queue, enum queue_state state)
{
	store_relaxed(&queue->state, state);
}

static inline void queue_schedule(struct queue *queue)
{
	worker_schedule(queue->worker, &queue->work);
}

/** queue_is_leaving() - is a REMOVE being executed? */
static inline bool queue_is_leaving(const struct queue *queue)
{
	return queue->command.quiescing && queue->command.verb == QUEUE_REMOVE;
}

/** queue_break() - log why, and stop serving the queue until the driver is reset */
void queue_break(struct queue *queue, const char *why);

/** queue_check_memory() - after each access to driver memory: break the queue after a SIGBUS */
void queue_check_memory(struct queue *queue);

/** queue_interrupt() - interrupt the driver; @adopted as in transport.h */
void queue_interrupt(struct queue *queue, bool adopted);

/** queue_set_running() - tell the transport, if the value has changed */
void queue_set_running(struct queue *queue, bool running);

/**
 * queue_start() - start the queue for a driver with @features, or adopt it (@recovering)
 *
 * If the rings cannot be served, the queue is broken, and 0 is returned. Return: 0; -errno: the
 * transport has no kick descriptor
 */
int queue_start(struct queue *queue, uint64_t features, bool recovering);

/** queue_reopen() - map the rings of a paused or waiting queue again; no effect in other states */
void queue_reopen(struct queue *queue);

/** queue_stop_kicks() - stop polling for kicks; @queue is scheduled when that is done */
void queue_stop_kicks(struct queue *queue);

/** queue_finish_command() - complete the current command if the queue is quiesced */
void queue_finish_command(struct queue *queue);

#endif
