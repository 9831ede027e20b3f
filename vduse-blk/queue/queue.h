/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue of one disk: takes chains, executes requests, gives them back.
 *
 * A request's way: queue_drain -> virtq_pop -> blk_req_parse -> backend_submit ... req_io_done ->
 * req_finish -> virtq_push; at the end of the round one virtq_publish and one interrupt.
 *
 * The main thread speaks to a queue by one command at a time; everything else happens on the
 * queue's worker.
 */
#ifndef VDUSE_BLK_QUEUE_H
#define VDUSE_BLK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/backend.h"
#include "compiler.h"
#include "guest_memory.h"
#include "log.h"
#include "ring.h"
#include "vduse_dev.h"
#include "virtio_blk.h"
#include "virtq.h"
#include "worker.h"

struct device;

enum queue_verb {
	QUEUE_ADD,     /* to its worker; once, before any other */
	QUEUE_START,   /* the driver is ready: map the rings and serve them */
	QUEUE_RECOVER, /* the driver is running: adopt the queue, with its record */
	QUEUE_PAUSE,  /* take nothing more, finish or put back what is in flight: memory may move */
	QUEUE_SETTLE, /* take nothing more and finish what is in flight */
	QUEUE_RESUME, /* map the rings again and go on, after PAUSE and SETTLE */
	QUEUE_STOP,   /* give up what is in flight and forget the rings: the driver was reset */
	QUEUE_REMOVE, /* from its worker; after STOP, the last one */
};

enum queue_state {
	QUEUE_STOPPED,
	QUEUE_WAITING, /* the driver is ready, this queue of it not (yet): look again at a kick */
	QUEUE_RUNNING,
	QUEUE_PAUSED,
	QUEUE_BROKEN, /* the ring cannot be trusted; until the driver is reset */
};

/*
 * The limit for data of reads and writes under way in one queue. A queue above it takes no more
 * requests until one has completed. Without it, a ring full of large requests would delay the other
 * queues of the worker. A request counts with the most that it has under way at a time
 * (file_batch.c).
 */
#define QUEUE_BYTES_MAX	  (32u << 20)
#define REQUEST_BYTES_MAX (4u << 20)

#define SLOT_IOVS   8u
#define SLOT_RANGES (SLOT_IOVS * sizeof(struct iovec) / sizeof(struct blk_range))

/* Room for data that must be copied; see struct backend_io. */
union stage {
	union stage *next_free;
	uint8_t data[BACKEND_STAGE];
};

/* A request in flight; one slot per head, so that nothing is allocated on the way. */
struct req_slot {
	struct queue *queue;
	struct blk_req req;
	struct backend_io io;
	union iov_buffer *large;       /* NULL: iov or ranges are below */
	union stage *stage;	       /* NULL: it has not needed one */
	bool in_store;		       /* @io is under way */
	uint32_t bytes;		       /* its part of queue->bytes_under_way */
	uint64_t retry_until_ns;       /* 0: it has not failed */
	struct req_slot *next_waiting; /* in queue->retries, or of flushes that share a sync */
	const struct blk_range *next_range;
	uint32_t ranges_left;
	union {
		struct iovec iov[SLOT_IOVS];
		struct blk_range ranges[SLOT_RANGES];
	} small;
};

/* Written by the worker only, read by anybody: statistics. */
struct queue_stats {
	uint64_t popped;
	uint64_t pushed;
	uint64_t errors;  /* requests completed with an error */
	uint64_t retries; /* of operations of the store */
	uint64_t kicks;
	uint64_t interrupts;
	uint64_t broken;
};

struct queue {
	/* Set by queue_init(), constant. */
	struct device *device;
	const char *device_name;
	uint32_t index;
	struct vduse_dev *dev;
	struct backend *backend;
	const struct blk_limits *limits;
	struct worker *worker;
	struct ring *main_ring; /* where commands are answered */
	uint32_t retry_s;	/* on_error of struct device_config */
	struct req_slot *slots;
	uint32_t slot_count;
	uint32_t bytes_max; /* QUEUE_BYTES_MAX; tests set less */
	int kick_fd;
	int irq_cpu; /* as of irq_cpu_take(); the worker's */

	/* The worker's. */
	struct work work;
	enum queue_state state;
	struct virtq vq;
	uint64_t features; /* of the driver, since START */
	bool durable_writes;
	bool held;	 /* from PAUSE or STOP to RESUME or START: memory may move, take nothing */
	bool recovering; /* WAITING for the rings' memory, to go on from a dead server's record */
	uint16_t first_avail; /* of a queue that is WAITING */
	bool in_round;
	bool completed; /* pushed something that is not published */
	bool removing;
	bool wants_buffer; /* bounce memory of ours may be there, and is not registered yet */
	struct ring_buffer buffer;
	struct guest_memory *guest_memory; /* NULL: not to be registered */
	union stage *stages;  /* as many as there are slots; NULL: none was needed yet */
	uint32_t stages_used; /* the first so many of them have been in use */
	union stage *stage_free;
	struct iov_share large;
	struct ring_poll kick;
	struct ring_timer irq_retry;
	uint32_t bytes_under_way;
	struct req_slot *flushes; /* taken in this round; one sync completes them */
	struct req_slot *retries; /* failed, to be tried again */
	struct ring_timer retry;
	struct queue_stats stats;
	struct log_limit ring_errors;

	/* The command under way; the main thread's between its answer and the next command. */
	enum queue_verb verb;
	uint64_t command_features;
	bool draining; /* the worker's: the command waits until nothing is in flight */
	struct ring_message command;
	struct ring_message answer;
	int result;
	uint16_t next_avail; /* after SETTLE: what would be taken next */
	uint32_t waiting;    /* after SETTLE: requests that a server before us had taken */
	void (*answered)(struct queue *queue);
};

/**
 * queue_init() - a queue that is on no worker yet
 * @queue: zeroed memory that stays where it is
 *
 * @device and @worker must outlive it. Return: 0; -errno
 */
int __must_check queue_init(struct queue *queue, struct device *device, uint32_t index,
			    struct worker *worker);
void queue_exit(struct queue *queue);

/**
 * queue_command() - tell a queue what to do; main thread
 * @features: for QUEUE_START and QUEUE_RECOVER: what the driver accepted
 * @answered: called on the main thread when it is done, with @queue->result 0 or -errno
 *
 * One at a time. PAUSE and STOP end what is in flight early where that is possible; what is not
 * (disk I/O that has begun), and SETTLE, take as long as the slowest request.
 */
void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*answered)(struct queue *queue));

/* For the queue's worker: */

/** queue_stat_add() - statistics and state are read by the main thread at any time */
static inline void queue_stat_add(uint64_t *stat, uint64_t n)
{
	store_relaxed(stat, *stat + n);
}

static inline void queue_set_state(struct queue *queue, enum queue_state state)
{
	store_relaxed(&queue->state, state);
}

/** queue_check_memory() - after every piece of work on the driver's memory: was it there? */
void queue_check_memory(struct queue *queue);

#endif
