/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue of one disk: pops chains, executes the requests in them, pushes the chains.
 *
 * The path of a request: queue_drain -> virtq_pop -> blk_req_parse -> backend_submit ...
 * req_io_done -> req_finish -> virtq_push. One virtq_publish and at most one interrupt at the end
 * of the round.
 *
 * The main thread controls a queue by commands, one at a time. Only the queue's worker accesses the
 * queue. The queue knows its front end as a transport (transport.h).
 */
#ifndef VDUSE_BLK_QUEUE_H
#define VDUSE_BLK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "log.h"
#include "queue_disk.h"
#include "request.h"
#include "ring.h"
#include "virtq.h"
#include "worker.h"

struct queue;

enum queue_verb {
	QUEUE_ADD,     /* add it to its worker; once, before any other command */
	QUEUE_START,   /* the driver set DRIVER_OK: map the rings and serve them */
	QUEUE_RECOVER, /* the driver runs already: adopt the queue, with its inflight log */
	QUEUE_QUIESCE, /* pop nothing, and wait until nothing is in flight */
	QUEUE_PAUSE,   /* quiesce; cancelled requests are put back: memory is about to move */
	QUEUE_RESUME,  /* map the rings again and serve them, after PAUSE or QUIESCE */
	QUEUE_STOP,    /* quiesce; cancelled requests get an error; unmap the rings: a reset */
	QUEUE_REMOVE,  /* quiesce, and remove the queue from its worker; the last command */
};

enum queue_state {
	QUEUE_STOPPED,
	QUEUE_WAITING, /* DRIVER_OK is set, but this queue is not ready: checked again at a kick */
	QUEUE_RUNNING,
	QUEUE_PAUSED,
	QUEUE_BROKEN, /* the driver wrote an invalid ring, or a ring is lost; until a reset */
};

/* A command. The worker uses it from queue_command() to its completion, else the main thread. */
struct queue_command {
	enum queue_verb verb;
	uint64_t features;
	void (*done)(struct queue *queue);
	struct ring_message message, completion;
	bool quiescing; /* used by the worker: it completes when nothing is in flight */

	int result;
	uint16_t next_avail; /* after QUIESCE, PAUSE: avail index of the next chain to pop */
	uint32_t replays;    /* likewise: requests put back, or in flight in a former server */
};

/* Written by the worker only, read by any thread with load_relaxed(). */
struct queue_stats {
	uint64_t kicks;
	uint64_t interrupts;
	uint64_t broken;
};

struct queue {
	/* Constant. */
	struct queue_disk *disk;
	uint32_t index;
	struct worker *worker;

	/* The worker's. */
	struct work work;
	struct virtq vq;
	struct requests requests;
	enum queue_state state; /* read by any thread with load_relaxed() */
	bool held; /* pop nothing: set by PAUSE, QUIESCE, STOP, REMOVE, cleared by RESUME, START */
	bool recovering;      /* WAITING for the memory of the rings, to adopt the inflight log */
	bool running;	      /* the last value passed to the transport */
	bool wants_buffer;    /* the bounce buffer is not registered with io_uring yet */
	uint16_t first_avail; /* while WAITING: index of the first chain to pop */
	struct ring_poll kick;
	struct ring_timer irq_retry;
	struct queue_stats stats;

	struct queue_command command;
};

/**
 * queue_init() - initialise a queue; QUEUE_ADD adds it to its worker
 * @queue: zeroed; must not move
 *
 * @disk and @worker must outlive it. Return: 0; -ENOMEM
 */
int __must_check queue_init(struct queue *queue, struct queue_disk *disk, uint32_t index,
			    struct worker *worker);
void queue_exit(struct queue *queue);

/**
 * queue_command() - send a command to a queue; main thread
 * @features: for QUEUE_START and QUEUE_RECOVER: the features that the driver accepted
 * @done:     called on the main thread when the command has taken effect. @queue->command has the
 *            results: result is 0 or -errno
 *
 * One command at a time. PAUSE and STOP cancel requests in flight, but disk I/O that has begun
 * cannot be cancelled. So they, and QUIESCE, may take as long as the slowest request.
 */
void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*done)(struct queue *queue));

#endif
