/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of one queue, from virtq_pop() to virtq_push(). Used by the queue's worker only.
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
 * The limit for the data of reads and writes in flight in one queue. A queue at the limit pops no
 * request until one has completed. Without the limit, a ring full of large requests would delay the
 * other queues of the worker. A large request counts as REQUEST_BYTES_MAX, the most that it has in
 * flight at a time (file_batch.c).
 */
#define QUEUE_BYTES_MAX	  (32u << 20)
#define REQUEST_BYTES_MAX (4u << 20)

#define SLOT_IOVS   8u
#define SLOT_RANGES (SLOT_IOVS * sizeof(struct iovec) / sizeof(struct blk_range))

/* A request in flight. One slot for each head, so that the request path allocates nothing. */
struct req_slot {
	struct requests *requests;
	struct blk_req req;
	struct backend_io io;
	union iov_buffer *pool_buffer; /* for iov or ranges; NULL: they are in @small */
	void *staging;		       /* staging buffer; NULL: not needed so far */
	bool in_store;		       /* @io was submitted and has not completed */
	uint32_t bytes;		       /* its part of requests->bytes_in_flight */
	uint64_t retry_until_ns;       /* 0: no operation has failed */
	struct list_node waiting;      /* in requests->retries, or in a list of flushes */
	const struct blk_range *next_range;
	uint32_t ranges_left;
	union {
		struct iovec iov[SLOT_IOVS];
		struct blk_range ranges[SLOT_RANGES];
		struct list
			flushes; /* of a submitted flush: other flushes that its sync completes */
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
	uint32_t queue; /* index of the queue */
	struct worker *worker;
	struct work *work; /* the queue's work item, scheduled when a request has completed */
	struct virtq *vq;
	struct req_slot *slots;
	uint32_t slot_count;
	uint32_t bytes_max;		   /* QUEUE_BYTES_MAX; tests set less */
	struct guest_memory *guest_memory; /* NULL: guest memory is not registered */

	uint64_t features; /* that the driver accepted; set at a start */
	bool durable_writes;

	bool in_round;	  /* the queue is in its round, and publishes at the end of it */
	bool completed;	  /* chains were pushed and are not published */
	bool put_back;	  /* @put_back of the last req_cancel_all() */
	bool memory_lost; /* a SIGBUS occurred, and queue_check_memory() has not seen it yet */
	uint32_t bytes_in_flight;
	struct ring_buffer buffer;   /* the bounce buffer, if it is registered with io_uring */
	struct pool staging_buffers; /* mapped when the first one is needed */
	struct iov_share iov_share;
	struct list flushes; /* popped in this round; one sync completes them */
	struct list retries; /* have failed, and wait for @retry */
	struct ring_timer retry;
	struct log_limit errors;
	struct req_stats stats;
};

/**
 * requests_init() - any thread; before QUEUE_ADD
 * @requests: zeroed, except for the constants @disk, @queue, @worker, @work, @vq, @slot_count
 *
 * Return: 0; -ENOMEM
 */
int __must_check requests_init(struct requests *requests);

/** requests_exit() - any thread; after QUEUE_REMOVE, or before QUEUE_ADD */
void requests_exit(struct requests *requests);

/** requests_begin() - the queue is started for a driver with @features */
void requests_begin(struct requests *requests, uint64_t features);

/** requests_have_room() - may the queue pop a request? If not, a completion schedules @work */
static inline bool requests_have_room(const struct requests *requests)
{
	return requests->bytes_in_flight < requests->bytes_max;
}

/** requests_end() - nothing is in flight: end the timer; @work is scheduled when it has ended */
void requests_end(struct requests *requests);

/**
 * requests_have_ended() - after requests_end(): may @requests be freed?
 *
 * With nothing in flight, the queue waits for no large buffer: its own one is free.
 */
static inline bool requests_have_ended(const struct requests *requests)
{
	return !requests->retry.active;
}

/** requests_check_memory() - after each access to driver memory. Return: false after a SIGBUS */
static inline bool requests_check_memory(struct requests *requests)
{
	if (unlikely(sigbus_seen()))
		requests->memory_lost = true;
	return likely(!requests->memory_lost);
}

/** req_start() - execute the request in @chain, which was just popped, and push the chain */
void req_start(struct requests *requests, struct virtq_chain *chain);

/** req_submit_flushes() - at the end of a round: submit one sync for all flushes popped in it */
void req_submit_flushes(struct requests *requests);

/**
 * req_cancel_all() - cancel the requests in flight, as far as possible
 * @put_back: put a cancelled request back, so that virtq_pop() returns it again; false: complete it
 *	      with an error
 *
 * Cancels requests that wait for a retry, and asks the store to cancel the others.
 */
void req_cancel_all(struct requests *requests, bool put_back);

/** stat_add() - an atomic store, since other threads read statistics */
static inline void stat_add(uint64_t *stat, uint64_t n)
{
	store_relaxed(stat, *stat + n);
}

#endif
