/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of one queue, each from the chain that asks for it to the chain given back. The
 * queue's worker only.
 *
 * req_start -> blk_req_parse -> backend_submit ... req_io_done -> req_finish -> virtq_push
 */
#ifndef VDUSE_BLK_REQUEST_H
#define VDUSE_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "guest_memory.h"
#include "iov_pool.h"
#include "list.h"
#include "log.h"
#include "pool.h"
#include "queue_disk.h"
#include "ring.h"
#include "sigbus.h"
#include "store/backend.h"
#include "virtio_blk.h"
#include "virtq.h"
#include "worker.h"

struct requests;

/*
 * The limit for data of reads and writes in flight in one queue. A queue above it takes no more
 * requests until one has completed. Without it, a ring full of large requests would delay the other
 * queues of the worker. A request counts with the most that it has in flight at a time (file_batch.c).
 */
#define QUEUE_BYTES_MAX	  (32u << 20)
#define REQUEST_BYTES_MAX (4u << 20)

#define SLOT_IOVS   8u
#define SLOT_RANGES (SLOT_IOVS * sizeof(struct iovec) / sizeof(struct blk_range))

/* A request in flight; one slot per head, so that nothing is allocated on the way. */
struct req_slot {
	struct requests *requests;
	struct blk_req req;
	struct backend_io io;
	union iov_buffer *large;  /* NULL: iov or ranges are below */
	void *staging;		  /* staging buffer; NULL: it has not needed one */
	bool in_store;		  /* @io is in flight */
	uint32_t bytes;		  /* its part of requests->bytes_in_flight */
	uint64_t retry_until_ns;  /* 0: it has not failed */
	struct list_node waiting; /* in requests->retries, or with flushes that share a sync */
	const struct blk_range *next_range;
	uint32_t ranges_left;
	union {
		struct iovec iov[SLOT_IOVS];
		struct blk_range ranges[SLOT_RANGES];
		struct list flushes; /* of a flush that was submitted: those that share its sync */
	} small;
};

/* Written by the worker only, read by any thread with load_relaxed(). */
struct req_stats {
	uint64_t popped;
	uint64_t pushed;
	uint64_t errors;  /* requests completed with an error */
	uint64_t retries; /* of operations of the store */
	struct {
		uint64_t count, bytes;
	} done[BLK_OPS]; /* requests completed without an error */
};

struct requests {
	/* Constant. */
	struct queue_disk *disk;
	uint32_t queue; /* its index */
	struct worker *worker;
	struct work *work; /* scheduled when a request has completed */
	struct virtq *vq;
	struct req_slot *slots;
	uint32_t slot_count;
	uint32_t bytes_max;		   /* QUEUE_BYTES_MAX; tests set less */
	struct guest_memory *guest_memory; /* NULL: not to be registered */

	uint64_t features; /* of the driver; set at a start */
	bool durable_writes;

	bool in_round;	  /* set by the queue: it publishes soon */
	bool completed;	  /* something was pushed and is not published */
	bool put_back;	  /* set with req_cancel_all(): what is given up comes again */
	bool memory_lost; /* memory of the driver was not there, and the queue does not know yet */
	uint32_t bytes_in_flight;
	struct ring_buffer buffer;   /* bounce buffer, where it is registered */
	struct pool staging_buffers; /* takes memory when the first one is needed */
	struct iov_share large;
	struct list flushes; /* taken in this round; one sync completes them */
	struct list retries; /* failed, to be tried again */
	struct ring_timer retry;
	struct log_limit errors;
	struct req_stats stats;
};

/**
 * requests_init() - any thread; before the queue is on its worker
 * @requests: zeroed but for the constants @disk, @queue, @worker, @work, @vq, @slot_count
 *
 * Return: 0; -ENOMEM
 */
int __must_check requests_init(struct requests *requests);

/** requests_exit() - any thread; nothing is in flight, and the queue is on no worker */
void requests_exit(struct requests *requests);

/** requests_begin() - a driver with these features starts the queue */
void requests_begin(struct requests *requests, uint64_t features);

/** requests_have_room() - may another request be taken? Where not, one that completes schedules */
static inline bool requests_have_room(const struct requests *requests)
{
	return requests->bytes_in_flight < requests->bytes_max;
}

/** requests_end() - nothing is in flight: end the timer. @work is scheduled when it has ended */
void requests_end(struct requests *requests);

/** requests_have_ended() - after requests_end(): does nothing on the worker point here any more? */
static inline bool requests_have_ended(const struct requests *requests)
{
	return !requests->retry.active && !iov_share_waits(&requests->large);
}

/** requests_check_memory() - after every piece of work on the driver's memory: was it there? */
static inline bool requests_check_memory(struct requests *requests)
{
	if (unlikely(sigbus_seen()))
		requests->memory_lost = true;
	return likely(!requests->memory_lost);
}

/** req_start() - do what @chain, just popped, asks for; it is pushed in any case */
void req_start(struct requests *requests, struct virtq_chain *chain);

/** req_submit_flushes() - at the end of a round: begin one sync for all flushes taken in it */
void req_submit_flushes(struct requests *requests);

/**
 * req_cancel_all() - end early what is in flight
 * @put_back: what is given up goes back into the ring, to be taken again; false: it is completed
 *	      with an error
 *
 * Requests that wait to be tried again are given up at once; the store is asked to end the others
 * early.
 */
void req_cancel_all(struct requests *requests, bool put_back);

/** stat_add() - statistics are read by other threads at any time */
static inline void stat_add(uint64_t *stat, uint64_t n)
{
	store_relaxed(stat, *stat + n);
}

#endif
