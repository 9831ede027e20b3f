/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a queue that its files share; others use queue.h. The queue's worker.
 *
 *     queue          rounds: takes what the driver made available, publishes, interrupts
 *     queue_rings    maps the rings: at a start, after a crash, when memory has moved
 *     queue_command  what the main thread tells it to do
 */
#ifndef VDUSE_BLK_QUEUE_STEPS_H
#define VDUSE_BLK_QUEUE_STEPS_H

#include "queue.h"

extern const struct work_ops queue_work;

/** queue_set_state() - other threads read it at any time */
static inline void queue_set_state(struct queue *queue, enum queue_state state)
{
	store_relaxed(&queue->state, state);
}

static inline void queue_schedule(struct queue *queue)
{
	worker_schedule(queue->worker, &queue->work);
}

/** queue_is_leaving() - is a REMOVE under way? */
static inline bool queue_is_leaving(const struct queue *queue)
{
	return queue->command.quiescing && queue->command.verb == QUEUE_REMOVE;
}

/** queue_break() - log why, and serve no more until the driver is reset */
void queue_break(struct queue *queue, const char *why);

/** queue_check_memory() - after work on the driver's memory: break the queue where it was lost */
void queue_check_memory(struct queue *queue);

/** queue_interrupt() - interrupt the driver; @adopted as in transport.h */
void queue_interrupt(struct queue *queue, bool adopted);

/** queue_set_running() - tell the transport, where that is news */
void queue_set_running(struct queue *queue, bool running);

/**
 * queue_start() - a driver with @features starts the queue, or is running it (@recovering)
 *
 * A queue that cannot be served is broken then. Return: 0; -errno: no kicks would come
 */
int queue_start(struct queue *queue, uint64_t features, bool recovering);

/** queue_reopen() - memory may have moved: look for the rings again; no effect while it runs */
void queue_reopen(struct queue *queue);

/** queue_stop_kicks() - @queue is scheduled when no kick can come any more (@queue->kick.ring) */
void queue_stop_kicks(struct queue *queue);

/** queue_finish_command() - complete the command under way where it waits for nothing any more */
void queue_finish_command(struct queue *queue);

#endif
