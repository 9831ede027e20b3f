// SPDX-License-Identifier: GPL-2.0-or-later
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iov.h"
#include "time_ns.h"

/* The time between a failed operation and its retry. */
#define STORE_RETRY_US 500000

static void req_free_memory(struct req_slot *slot)
{
	struct requests *requests = slot->requests;

	if (slot->pool_buffer)
		iov_pool_put(&requests->worker->iov_pool, &requests->iov_share, slot->pool_buffer);
	if (unlikely(slot->staging))
		pool_put(&requests->staging_buffers, slot->staging);
	slot->pool_buffer = NULL;
	slot->staging = NULL;
	requests->bytes_in_flight -= slot->bytes;
	slot->bytes = 0;
}

/* A separate function, so that tests/vm/tsan.supp can name it. */
static void req_set_status(struct blk_req *req, int status)
{
	if (likely(req->status))
		*req->status = (uint8_t)status;
}

/* Completes a request and frees its slot. */
static void req_finish(struct req_slot *slot, uint16_t head, int status)
{
	struct requests *requests = slot->requests;
	struct blk_req *req = &slot->req;

	req_free_memory(slot);
	req_set_status(req, status);
	if (unlikely(status != VIRTIO_BLK_S_OK)) {
		stat_add(&requests->stats.errors, 1);
		req->used_len = 0; /* no byte at the beginning of the buffer is valid */
	} else {
		stat_add(&requests->stats.done[req->op].count, 1);
		stat_add(&requests->stats.done[req->op].bytes, req->len);
	}
	virtq_push(requests->vq, head, req->used_len);
	stat_add(&requests->stats.pushed, 1);
	requests->completed = true;
	requests_check_memory(requests);
	/* The queue publishes at the end of its round. Outside of one, schedule a round. */
	if (!requests->in_round)
		worker_schedule(requests->worker, requests->work);
}

/* A cancelled request: virtq_pop() returns it again after a RESUME. */
static void req_put_back(struct req_slot *slot, uint16_t head)
{
	struct requests *requests = slot->requests;

	req_free_memory(slot);
	virtq_put_back(requests->vq, head);
	stat_add(&requests->stats.popped, -1ull);
	worker_schedule(requests->worker, requests->work);
}

static uint16_t slot_head(const struct req_slot *slot)
{
	return (uint16_t)(slot - slot->requests->slots);
}

static void log_io_error(struct requests *requests, const struct backend_io *io, int err,
			 const char *more)
{
	store_health_failed(&requests->disk->health, io, err, requests->queue, more, time_now_ns());
}

static void note_success(struct requests *requests, enum backend_op op)
{
	if (store_health_fails(&requests->disk->health, op))
		store_health_worked_slow(&requests->disk->health, op, time_now_ns());
}

/* Acquire: pairs with the store in queues.c, which precedes the completions of a failed sync. */
static bool flush_has_failed(const struct requests *requests)
{
	return load_acquire(&requests->disk->flush_failed);
}

/* A broken ring returns no head again: what would be put back there would never complete. */
static void req_give_up(struct req_slot *slot)
{
	if (slot->requests->put_back && !slot->requests->vq->broken)
		req_put_back(slot, slot_head(slot));
	else
		req_finish(slot, slot_head(slot), VIRTIO_BLK_S_IOERR);
}

static struct req_slot *waiting_slot(struct list_node *node)
{
	return container_of(node, struct req_slot, waiting);
}

static void req_give_up_list(struct list *list)
{
	struct list_node *node;

	while ((node = list_take(list)))
		req_give_up(waiting_slot(node));
}

/*
 * Not a failed sync: a second one may succeed although writes were lost. Not EFAULT: the driver's
 * memory causes it, not the store.
 */
static bool req_may_retry(const struct req_slot *slot, int err)
{
	if (!slot->requests->disk->retry_s || slot->io.sync_failed || err == -EOPNOTSUPP ||
	    err == -EFAULT)
		return false;
	return !slot->retry_until_ns || time_now_ns() < slot->retry_until_ns;
}

static void retry_expired(struct ring_timer *timer)
{
	struct requests *requests = container_of(timer, struct requests, retry);
	struct list_node *node;
	struct list now;

	list_init(&now);
	list_move(&requests->retries, &now);
	while ((node = list_take(&now))) {
		struct req_slot *slot = waiting_slot(node);

		stat_add(&requests->stats.retries, 1);
		slot->in_store = true;
		backend_submit(requests->disk->backend, &requests->worker->ring, &slot->io);
	}
	worker_schedule(requests->worker, requests->work); /* a REMOVE may wait for the timer */
}

/* The retry continues behind the bytes that were transferred before the failure. */
static void req_retry_later(struct req_slot *slot, int err)
{
	struct requests *requests = slot->requests;
	uint32_t seconds = requests->disk->retry_s;
	char more[64];

	if (!slot->retry_until_ns) {
		slot->retry_until_ns = time_now_ns() + seconds * 1000000000ull;
		snprintf(more, sizeof(more), "; tried again for up to %u s", seconds);
		log_io_error(requests, &slot->io, err, more);
	}
	slot->io.offset += slot->io.done_bytes;
	slot->io.len -= slot->io.done_bytes;
	list_add(&requests->retries, &slot->waiting);
	ring_timer_start(&requests->worker->ring, &requests->retry, STORE_RETRY_US, retry_expired);
}

static void req_next_range(struct req_slot *slot);

static void req_io_done(struct backend_io *io, int err)
{
	struct req_slot *slot = container_of(io, struct req_slot, io);
	bool more = !err && slot->ranges_left;

	slot->in_store = false;
	if (unlikely(io->cancelled && (err || more))) {
		req_give_up(slot);
		return;
	}
	if (more) {
		req_next_range(slot);
		return;
	}
	if (unlikely(err)) {
		if (req_may_retry(slot, err)) {
			req_retry_later(slot, err);
			return;
		}
		log_io_error(slot->requests, io, err, "");
	} else {
		note_success(slot->requests, io->op);
		/* Linux may have reported to another sync that this write is lost. */
		if (unlikely(io->durable) && flush_has_failed(slot->requests))
			err = -EIO;
	}
	req_finish(slot, slot_head(slot), blk_status(err));
}

static void *req_get_staging(struct backend_io *io)
{
	struct req_slot *slot = container_of(io, struct req_slot, io);

	if (!slot->staging)
		slot->staging = pool_get(&slot->requests->staging_buffers);
	return slot->staging;
}

static void req_submit(struct req_slot *slot, enum backend_op op,
		       void (*done)(struct backend_io *io, int err))
{
	slot->io.op = op;
	slot->io.durable = op != BACKEND_READ &&
			   (slot->requests->durable_writes ||
			    load_relaxed(&slot->requests->disk->writethrough));
	slot->io.done = done;
	slot->io.get_staging = req_get_staging;
	slot->in_store = true;
	backend_submit(slot->requests->disk->backend, &slot->requests->worker->ring, &slot->io);
}

static void req_next_range(struct req_slot *slot)
{
	const struct blk_range *range = slot->next_range++;

	slot->ranges_left--;
	slot->io.offset = range->offset;
	slot->io.len = range->len;
	slot->io.unmap = range->unmap;
	if (!range->len)
		req_io_done(&slot->io, 0);
	else
		req_submit(slot,
			   slot->req.op == BLK_DISCARD ? BACKEND_DISCARD : BACKEND_WRITE_ZEROES,
			   req_io_done);
}

static void end_flush(struct req_slot *slot, bool give_up, int status)
{
	if (give_up)
		req_give_up(slot);
	else
		req_finish(slot, slot_head(slot), status);
}

/* Completes the flush in @slot and all flushes that share its sync, or gives them up. */
static void end_flushes(struct req_slot *slot, bool give_up, int status)
{
	struct list_node *node;

	end_flush(slot, give_up, status);
	while ((node = list_take(&slot->small.flushes))) /* valid until the slot is reused */
		end_flush(waiting_slot(node), give_up, status);
}

static void flush_done(struct backend_io *io, int err)
{
	struct req_slot *slot = container_of(io, struct req_slot, io);
	struct requests *requests = slot->requests;

	slot->in_store = false;
	if (io->cancelled && err) {
		end_flushes(slot, true, 0);
		return;
	}
	if (err)
		log_io_error(requests, io, err, "");
	else if (flush_has_failed(requests))
		err = -EIO; /* Linux reported the error to an earlier sync */
	else
		note_success(requests, BACKEND_FLUSH);
	end_flushes(slot, false, blk_status(err));
}

void req_submit_flushes(struct requests *requests)
{
	struct list_node *first;
	struct req_slot *slot;

	if (likely(list_is_empty(&requests->flushes)))
		return;
	first = list_take(&requests->flushes);
	slot = waiting_slot(first);
	list_init(&slot->small.flushes);
	list_move(&requests->flushes, &slot->small.flushes);
	req_submit(slot, BACKEND_FLUSH, flush_done);
}

/* Copies iov or ranges from the worker's scratch memory to the slot or an iov_buffer. */
static void req_keep(struct req_slot *slot)
{
	struct worker *worker = slot->requests->worker;
	struct blk_req *req = &slot->req;
	bool small = req->iov_count <= SLOT_IOVS && req->range_count <= SLOT_RANGES;
	struct iovec *iov = slot->small.iov;
	struct blk_range *ranges = slot->small.ranges;

	if (!small) {
		slot->pool_buffer = iov_pool_get(&worker->iov_pool, &slot->requests->iov_share);
		iov = slot->pool_buffer->iov;
		ranges = slot->pool_buffer->ranges;
	}
	if (req->range_count) {
		memcpy(ranges, worker->ranges, req->range_count * sizeof(*ranges));
		slot->next_range = ranges;
		slot->ranges_left = req->range_count;
		return;
	}
	/*
	 * Pages of the bounce buffer are often adjacent. With adjacent pieces joined, a read of
	 * 128 KiB takes 2 % fewer instructions, one of 1 MiB 5 %.
	 */
	slot->io.iov = iov;
	slot->io.iov_count = iov_join(req->iov, req->iov_count, iov);
	slot->io.offset = req->offset;
	slot->io.len = req->len;
}

/* io_uring accepts only a single piece in a registered buffer. */
static const struct ring_buffer *req_buffer(const struct req_slot *slot)
{
	struct requests *requests = slot->requests;

	if (likely(!requests->guest_memory))
		return &requests->buffer;
	return slot->io.iov_count == 1 ? guest_memory_find(requests->guest_memory, slot->io.iov)
				       : NULL;
}

static void req_execute(struct req_slot *slot)
{
	const struct blk_limits *limits = slot->requests->disk->limits;
	struct blk_req *req = &slot->req;

	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		if (!req->len) {
			req_finish(slot, slot_head(slot), VIRTIO_BLK_S_OK);
			break;
		}
		slot->bytes = (uint32_t)MIN(req->len, (uint64_t)REQUEST_BYTES_MAX);
		slot->requests->bytes_in_flight += slot->bytes;
		slot->io.buffer = req_buffer(slot);
		req_submit(slot, req->op == BLK_READ ? BACKEND_READ : BACKEND_WRITE, req_io_done);
		break;
	case BLK_FLUSH:
		list_add(&slot->requests->flushes, &slot->waiting);
		break;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		req_next_range(slot);
		break;
	case BLK_GET_ID:
		iov_from_buf(slot->io.iov, slot->io.iov_count, limits->serial,
			     sizeof(limits->serial));
		req_finish(slot, slot_head(slot), VIRTIO_BLK_S_OK);
		break;
	}
}

void req_start(struct requests *requests, struct virtq_chain *chain)
{
	struct req_slot *slot = &requests->slots[chain->head];
	const struct queue_disk *disk = requests->disk;
	int status;

	stat_add(&requests->stats.popped, 1);
	slot->requests = requests; /* not in requests_init(): unused slots must take no memory */
	slot->ranges_left = 0;
	slot->retry_until_ns = 0;
	slot->io.cancelled = false; /* left over from the last request with this head */
	status = blk_req_parse(disk->limits, requests->features, chain, requests->worker->ranges,
			       &slot->req);
	if (unlikely(status)) {
		if (log_allow(&requests->errors, disk->name))
			log_warn("%s: queue %u: head %u: invalid request, completed with status %d",
				 disk->name, requests->queue, chain->head, status);
		req_finish(slot, chain->head, status);
		return;
	}
	req_keep(slot);
	req_execute(slot);
}

void req_cancel_all(struct requests *requests, bool put_back)
{
	struct list retries;

	requests->put_back = put_back;
	list_init(&retries);
	list_move(&requests->retries, &retries);
	req_give_up_list(&retries);
	for (uint32_t i = 0; requests->vq->in_flight && i < requests->slot_count; i++)
		if (requests->slots[i].in_store)
			backend_cancel(&requests->slots[i].io);
}
