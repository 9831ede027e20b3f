/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue of one disk: takes chains, executes requests, gives them back.
 *
 * A request's way: queue_drain -> virtq_pop -> blk_req_parse -> backend_submit ... req_io_done ->
 * req_finish -> virtq_push; at the end of the round one virtq_publish and one interrupt.
 *
 * The main thread speaks to a queue by one command at a time; everything else happens on the
 * queue's worker. The front end is a transport (transport.h).
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
	QUEUE_ADD,     /* to its worker; once, before any other */
	QUEUE_START,   /* the driver is ready: map the rings and serve them */
	QUEUE_RECOVER, /* the driver is running: adopt the queue, with its inflight log */
	QUEUE_PAUSE, /* take nothing more, finish or put back what is in flight: memory may move */
	QUEUE_QUIESCE, /* take nothing more and finish what is in flight */
	QUEUE_RESUME,  /* map the rings again and go on, after PAUSE and SETTLE */
	QUEUE_STOP,    /* give up what is in flight and forget the rings: the driver was reset */
	QUEUE_REMOVE,  /* from its worker; the last one */
};

enum queue_state {
	QUEUE_STOPPED,
	QUEUE_WAITING, /* the driver is ready, this queue of it not (yet): look again at a kick */
	QUEUE_RUNNING,
	QUEUE_PAUSED,
	QUEUE_BROKEN, /* the ring cannot be trusted; until the driver is reset */
};

/* A command: the main thread's before queue_command() and from its completion on. */
struct queue_command {
	enum queue_verb verb;
	uint64_t features;
	void (*done)(struct queue *queue);
	struct ring_message message, completion;
	bool quiescing; /* the worker's: it completes when nothing is in flight */

	int result;
	uint16_t next_avail; /* after SETTLE: the chain that would be taken next */
	uint32_t replays;    /* after SETTLE: requests that an earlier server had taken */
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
	bool held;	 /* from PAUSE or STOP to RESUME or START: memory may move, take nothing */
	bool recovering; /* WAITING for the rings' memory, to adopt what is in the inflight log */
	bool running;	 /* as the transport was told */
	bool wants_buffer;    /* the bounce buffer may be there, and is not registered yet */
	uint16_t first_avail; /* of a queue that is WAITING */
	struct ring_poll kick;
	struct ring_timer irq_retry;
	struct queue_stats stats;

	struct queue_command command;
};

/**
 * queue_init() - a queue that is on no worker yet
 * @queue: zeroed memory that stays where it is
 *
 * @disk and @worker must outlive it. Return: 0; -ENOMEM
 */
int __must_check queue_init(struct queue *queue, struct queue_disk *disk, uint32_t index,
			    struct worker *worker);
void queue_exit(struct queue *queue);

/**
 * queue_command() - tell a queue what to do; main thread
 * @features: for QUEUE_START and QUEUE_RECOVER: what the driver accepted
 * @done:     called on the main thread when the command has taken effect, with the results in
 *            @queue->command: result is 0 or -errno
 *
 * One at a time. PAUSE and STOP end what is in flight early where that is possible; what is not
 * (disk I/O that has begun), and SETTLE, take as long as the slowest request.
 */
void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*done)(struct queue *queue));

#endif
