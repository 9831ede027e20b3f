// SPDX-License-Identifier: GPL-2.0-or-later
#include "queue.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device.h"
#include "iov.h"
#include "sigbus.h"
#include "time_ns.h"

/* How long after a failure of the store the next try is made. */
#define STORE_RETRY_US 500000

/* How soon an interrupt is tried again that came before the kernel had stored DRIVER_OK. */
#define IRQ_RETRY_US 1000

static bool accepted(const struct queue *queue, unsigned int feature)
{
	return queue->features & (1ull << feature);
}

static void check_memory(struct queue *queue);

static void req_free_large(struct req_slot *slot)
{
	if (slot->large)
		worker_put_large(slot->queue->worker, slot->large);
	slot->large = NULL;
}

/* The way out of a request: answers it and frees its slot. */
static void req_finish(struct req_slot *slot, uint16_t head, int status)
{
	struct queue *queue = slot->queue;
	struct blk_req *req = &slot->req;

	req_free_large(slot);
	if (likely(req->status))
		*req->status = (uint8_t)status;
	if (unlikely(status != VIRTIO_BLK_S_OK)) {
		queue->stats.errors++;
		req->used_len = 0; /* promises nothing: the status is not at the beginning */
	}
	virtq_push(&queue->vq, head, req->used_len);
	queue->stats.pushed++;
	queue->completed = true;
	check_memory(queue);
	/* In its own round it publishes at the end by itself, and others must get their turn. */
	if (!queue->in_round)
		worker_schedule(queue->worker, queue);
}

/* The other way out: it was cancelled, and will be taken again after a RESUME. */
static void req_put_back(struct req_slot *slot, uint16_t head)
{
	struct queue *queue = slot->queue;

	req_free_large(slot);
	virtq_put_back(&queue->vq, head);
	queue->stats.popped--;
	worker_schedule(queue->worker, queue);
}

static uint16_t slot_head(const struct req_slot *slot)
{
	return (uint16_t)(slot - slot->queue->slots);
}

static void log_io_error(struct queue *queue, const struct backend_io *io, int err,
			 const char *more)
{
	static const char *const names[] = {
		[BACKEND_READ] = "read",
		[BACKEND_WRITE] = "write",
		[BACKEND_FLUSH] = "flush",
		[BACKEND_DISCARD] = "discard",
		[BACKEND_WRITE_ZEROES] = "write zeroes",
	};

	const char *reason = strerror(-err);

	if (!log_allow(&queue->io_errors, queue->device_name))
		return;
	if (err == -ENODATA)
		reason = "the store ends before the disk does, or is gone";
	if (io->op == BACKEND_FLUSH)
		log_err("%s: queue %u: flush: %s%s", queue->device_name, queue->index, reason,
			more);
	else
		log_err("%s: queue %u: %s of %" PRIu64 " bytes at %" PRIu64 ": %s%s",
			queue->device_name, queue->index, names[io->op], io->len, io->offset,
			reason, more);
}

static bool flush_has_failed(const struct queue *queue)
{
	return load_relaxed(&queue->device->flush_failed);
}

/*
 * A store tells once that it has lost writes, and says nothing of them at the next flush. So until
 * the driver is reset no flush succeeds any more; it cannot be known which writes are lost.
 */
static void flush_failed(struct queue *queue)
{
	if (!flush_has_failed(queue))
		log_err("%s: writes may be lost: every flush fails until the driver is reset%s",
			queue->device_name,
			queue->backend->cached ? " and the disk is detached" : "");
	store_relaxed(&queue->device->flush_failed, true);
	queue->vq.log->marked = 1; /* for the server after a crash */
}

static void req_give_up(struct req_slot *slot)
{
	if (slot->queue->verb == QUEUE_PAUSE)
		req_put_back(slot, slot_head(slot));
	else
		req_finish(slot, slot_head(slot), VIRTIO_BLK_S_IOERR);
}

/* A sync must not be: the second one may succeed although writes were lost. */
static bool req_may_retry(const struct req_slot *slot, int err)
{
	if (!slot->queue->retry_s || slot->io.op == BACKEND_FLUSH || slot->io.sync_failed ||
	    err == -EOPNOTSUPP)
		return false;
	return !slot->retry_until_ns || time_now_ns() < slot->retry_until_ns;
}

static void retry_expired(struct ring_timer *timer)
{
	struct queue *queue = container_of(timer, struct queue, retry);
	struct req_slot *slot = queue->retries;

	queue->retries = NULL;
	while (slot) {
		struct req_slot *next = slot->next_retry;

		queue->stats.retries++;
		slot->in_store = true;
		backend_submit(queue->backend, &queue->worker->ring, &slot->io);
		slot = next;
	}
	if (queue->removing)
		worker_schedule(queue->worker, queue);
}

/* Goes on where it stopped: what was transferred before the failure is done. */
static void req_retry_later(struct req_slot *slot, int err)
{
	struct queue *queue = slot->queue;
	char more[64];

	if (!slot->retry_until_ns) {
		slot->retry_until_ns = time_now_ns() + queue->retry_s * 1000000000ull;
		snprintf(more, sizeof(more), "; tried again for up to %u s", queue->retry_s);
		log_io_error(queue, &slot->io, err, more);
	}
	slot->io.offset += slot->io.done_bytes;
	slot->io.len -= slot->io.done_bytes;
	slot->next_retry = queue->retries;
	queue->retries = slot;
	ring_timer_start(&queue->worker->ring, &queue->retry, STORE_RETRY_US, retry_expired);
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
		log_io_error(slot->queue, io, err, "");
		if (io->sync_failed)
			flush_failed(slot->queue);
	} else if (unlikely(io->op == BACKEND_FLUSH && flush_has_failed(slot->queue))) {
		err = -EIO; /* another queue's took the error with it */
	}
	req_finish(slot, slot_head(slot), blk_status(err));
}

static void req_submit(struct req_slot *slot, enum backend_op op)
{
	slot->io.op = op;
	slot->io.durable = slot->queue->durable_writes;
	slot->io.done = req_io_done;
	slot->in_store = true;
	backend_submit(slot->queue->backend, &slot->queue->worker->ring, &slot->io);
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
			   slot->req.op == BLK_DISCARD ? BACKEND_DISCARD : BACKEND_WRITE_ZEROES);
}

/* Moves what parsing left in the worker's scratch memory to where it may stay. */
static void req_keep(struct req_slot *slot)
{
	struct worker *worker = slot->queue->worker;
	struct blk_req *req = &slot->req;
	bool small = req->iov_count <= SLOT_IOVS && req->range_count <= SLOT_RANGES;
	struct iovec *iov = slot->small.iov;
	struct blk_range *ranges = slot->small.ranges;

	if (!small) {
		slot->large = worker_get_large(worker);
		iov = slot->large->iov;
		ranges = slot->large->ranges;
	}
	if (req->range_count) {
		memcpy(ranges, worker->ranges, req->range_count * sizeof(*ranges));
		slot->next_range = ranges;
		slot->ranges_left = req->range_count;
		return;
	}
	memcpy(iov, req->iov, req->iov_count * sizeof(*iov));
	slot->io.iov = iov;
	slot->io.iov_count = req->iov_count;
	slot->io.offset = req->offset;
	slot->io.len = req->len;
}

static void req_execute(struct req_slot *slot)
{
	const struct blk_limits *limits = slot->queue->limits;
	struct blk_req *req = &slot->req;

	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		if (!req->len)
			req_finish(slot, slot_head(slot), VIRTIO_BLK_S_OK);
		else
			req_submit(slot, req->op == BLK_READ ? BACKEND_READ : BACKEND_WRITE);
		break;
	case BLK_FLUSH:
		if (unlikely(flush_has_failed(slot->queue)))
			req_finish(slot, slot_head(slot), VIRTIO_BLK_S_IOERR);
		else
			req_submit(slot, BACKEND_FLUSH);
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

static void queue_take(struct queue *queue, struct virtq_chain *chain)
{
	struct req_slot *slot = &queue->slots[chain->head];
	int status;

	queue->stats.popped++;
	slot->ranges_left = 0;
	slot->retry_until_ns = 0;
	status = blk_req_parse(queue->limits, queue->features, chain, queue->worker->ranges,
			       &slot->req);
	if (unlikely(status)) {
		if (log_allow(&queue->ring_errors, queue->device_name))
			log_warn("%s: queue %u: head %u: a request that is refused, with status %d",
				 queue->device_name, queue->index, chain->head, status);
		req_finish(slot, chain->head, status);
		return;
	}
	req_keep(slot);
	req_execute(slot);
}

static void queue_break(struct queue *queue, const char *why)
{
	queue->state = QUEUE_BROKEN;
	queue->stats.broken++;
	if (log_allow(&queue->ring_errors, queue->device_name))
		log_err("%s: queue %u stops: %s", queue->device_name, queue->index, why);
}

static bool queue_takes(const struct queue *queue)
{
	return queue->state == QUEUE_RUNNING && !queue->held;
}

/*
 * Takes what the driver made available. At most a ring full, so that a driver that never stops
 * does not keep the other queues of this worker waiting.
 */
static void queue_drain(struct queue *queue)
{
	struct virtq_chain chain = { .iov = queue->worker->chain_iov };
	int taken = 1;

	for (uint32_t n = 0; n < queue->slot_count && taken == 1 && queue_takes(queue); n++) {
		if (unlikely(!worker_has_large(queue->worker, queue)))
			return;
		taken = virtq_pop(&queue->vq, &chain);
		if (taken == 1)
			queue_take(queue, &chain);
	}
	if (unlikely(taken < 0))
		queue_break(queue, "the driver broke the ring");
}

static void queue_interrupt(struct queue *queue);

static void irq_retry(struct ring_timer *timer)
{
	struct queue *queue = container_of(timer, struct queue, irq_retry);

	if (queue->removing || queue->state == QUEUE_STOPPED)
		worker_schedule(queue->worker, queue);
	else
		queue_interrupt(queue);
}

static void queue_interrupt(struct queue *queue)
{
	int err = vduse_dev_vq_irq(queue->dev, queue->index);

	queue->stats.interrupts++;
	/* The kernel stores DRIVER_OK after it took our answer; until then it loses interrupts. */
	if (unlikely(err == -EINVAL))
		ring_timer_start(&queue->worker->ring, &queue->irq_retry, IRQ_RETRY_US, irq_retry);
	else if (unlikely(err) && log_allow(&queue->ring_errors, queue->device_name))
		log_err("%s: queue %u: cannot interrupt the driver: %s", queue->device_name,
			queue->index, strerror(-err));
}

static void queue_publish(struct queue *queue)
{
	if (!queue->completed)
		return;
	queue->completed = false;
	if (virtq_publish(&queue->vq))
		queue_interrupt(queue);
}

static void command_done(struct queue *queue, int result)
{
	queue->draining = false;
	queue->result = result;
	queue->next_avail = queue->state == QUEUE_WAITING ? queue->first_avail
							  : queue->vq.last_avail;
	queue->waiting = virtq_waiting(&queue->vq) + queue->recovering;
	ring_post(queue->main_ring, &queue->answer);
}

/* A command that waits for requests in flight, or for operations of the ring. */
static void queue_finish_command(struct queue *queue)
{
	if (!queue->draining || queue->vq.in_flight)
		return;
	if (queue->verb == QUEUE_REMOVE) {
		if (queue->kick.ring || queue->irq_retry.active || queue->retry.active ||
		    queue->starved)
			return; /* something on the worker still points here */
		worker_forget(queue->worker, queue);
		log_limit_flush(&queue->io_errors, queue->device_name);
		log_limit_flush(&queue->ring_errors, queue->device_name);
	}
	if ((queue->verb == QUEUE_PAUSE || queue->verb == QUEUE_SETTLE) &&
	    queue->state == QUEUE_RUNNING)
		queue->state = QUEUE_PAUSED;
	if (queue->verb == QUEUE_STOP) {
		queue->state = QUEUE_STOPPED;
		virtq_stop(&queue->vq);
	}
	command_done(queue, 0); /* after a REMOVE the main thread frees it: touch nothing */
}

/* After every piece of work on the driver's memory: was it there? */
static void check_memory(struct queue *queue)
{
	if (unlikely(sigbus_seen()) && queue->state != QUEUE_BROKEN)
		queue_break(queue, "the driver's memory is gone");
}

void queue_round(struct queue *queue)
{
	queue->in_round = true;
	if (queue_takes(queue)) {
		virtq_suppress_kicks(&queue->vq);
		queue_drain(queue);
	}
	queue_publish(queue);
	check_memory(queue);
	queue->in_round = false;
	queue_finish_command(queue);
}

bool queue_has_work(struct queue *queue)
{
	bool work = queue_takes(queue) && !queue->starved && virtq_has_work(&queue->vq);

	check_memory(queue);
	return work;
}

void queue_prepare_sleep(struct queue *queue)
{
	if (queue_takes(queue) && !queue->starved && virtq_want_kick(&queue->vq))
		worker_schedule(queue->worker, queue);
	check_memory(queue);
}

/* Maps the rings. Return: 0; 1: served again from a record; -errno */
static int map_rings(struct queue *queue, const struct virtq_layout *layout, uint16_t next_avail,
		     bool recover)
{
	int ret;

	if (!recover)
		return virtq_start(&queue->vq, layout, next_avail);
	ret = virtq_recover(&queue->vq, layout);
	if (ret > 0)
		log_info("%s: queue %u: serves %d requests again", queue->device_name, queue->index,
			 ret);
	return ret < 0 ? ret : 1;
}

/* QEMU makes all queues ready, whether the guest has set them up or not. */
static bool set_up(const struct vduse_vq_info *info)
{
	return info->ready && info->num &&
	       (info->desc_addr || info->driver_addr || info->device_addr);
}

static void queue_open(struct queue *queue)
{
	bool recovering = queue->recovering;
	struct virtq_layout layout;
	struct vduse_vq_info info;
	int err;

	queue->recovering = false;
	err = vduse_dev_vq_info(queue->dev, queue->index, &info);
	if (err) {
		queue_break(queue, strerror(-err));
		return;
	}
	if (!set_up(&info)) {
		inflight_vq_stop(queue->vq.log);
		queue->first_avail = info.split.avail_index;
		queue->state = QUEUE_WAITING;
		return;
	}
	if (info.num > queue->slot_count) {
		queue_break(queue, "the driver made it larger than it may be");
		return;
	}
	layout = (struct virtq_layout){
		.num = (uint16_t)info.num,
		.desc = info.desc_addr,
		.driver = info.driver_addr,
		.device = info.device_addr,
		.event_idx = accepted(queue, VIRTIO_RING_F_EVENT_IDX),
		.indirect = accepted(queue, VIRTIO_RING_F_INDIRECT_DESC),
	};
	err = map_rings(queue, &layout, info.split.avail_index,
			recovering && inflight_vq_is_active(queue->vq.log));
	if (err == -EFAULT && recovering) {
		/* The old server died while memory was moving: its new place is told of later. */
		queue->recovering = true;
		queue->state = QUEUE_WAITING;
		return;
	}
	if (err < 0) {
		queue_break(queue, err == -EFAULT ? "its rings are not mapped" : strerror(-err));
		return;
	}
	queue->state = QUEUE_RUNNING;
	check_memory(queue);
	worker_schedule(queue->worker, queue);
	if (err == 1)
		queue_interrupt(queue); /* the last one may have died with the server */
}

static void queue_start(struct queue *queue, bool recovering)
{
	int err;

	queue->held = false;
	queue->recovering = recovering;
	queue->features = queue->command_features;
	/* virtio 1.3, 5.2.6.2: a driver that did not take FLUSH relies on every completed write. */
	queue->durable_writes = !queue->backend->limits.volatile_cache ||
				!accepted(queue, VIRTIO_BLK_F_FLUSH);
	err = vduse_dev_vq_kickfd(queue->dev, queue->index, queue->kick_fd);
	if (err)
		queue_break(queue, strerror(-err));
	else
		queue_open(queue);
	command_done(queue, err);
}

/* Memory has moved: the rings are looked for again, and again at a kick where they are not there. */
static void queue_reopen(struct queue *queue)
{
	int err = 0;

	if (queue->state == QUEUE_WAITING)
		queue_open(queue);
	if (queue->state != QUEUE_PAUSED)
		return;
	err = virtq_remap(&queue->vq);
	if (!err)
		queue->state = QUEUE_RUNNING;
	else if (err != -EFAULT)
		queue_break(queue, strerror(-err));
}

static void queue_resume(struct queue *queue)
{
	queue->held = false;
	queue_reopen(queue);
	worker_schedule(queue->worker, queue);
	command_done(queue, 0);
}

static void kicked(struct ring_poll *poll)
{
	struct queue *queue = container_of(poll, struct queue, kick);

	queue->stats.kicks++;
	if (!queue->held)
		queue_reopen(queue);
	worker_schedule(queue->worker, queue);
}

static void kick_stopped(struct ring_poll *poll)
{
	struct queue *queue = container_of(poll, struct queue, kick);

	poll->ring = NULL;
	worker_schedule(queue->worker, queue);
}

static void cancel_all(struct queue *queue)
{
	struct req_slot *slot = queue->retries;

	queue->retries = NULL;
	while (slot) {
		struct req_slot *next = slot->next_retry;

		req_give_up(slot);
		slot = next;
	}
	for (uint32_t i = 0; queue->vq.in_flight && i < queue->slot_count; i++)
		if (queue->slots[i].in_store)
			backend_cancel(&queue->slots[i].io);
}

static void queue_drain_command(struct queue *queue)
{
	queue->draining = true;
	queue->held = true;
	worker_schedule(queue->worker, queue);
}

static void run_command(struct ring_message *message)
{
	struct queue *queue = container_of(message, struct queue, command);

	switch (queue->verb) {
	case QUEUE_ADD:
		ring_poll_start(&queue->worker->ring, &queue->kick, queue->kick_fd, kicked);
		command_done(queue, 0);
		break;
	case QUEUE_START:
		queue_start(queue, false);
		break;
	case QUEUE_RECOVER:
		queue_start(queue, true);
		break;
	case QUEUE_RESUME:
		queue_resume(queue);
		break;
	case QUEUE_SETTLE:
		queue_drain_command(queue);
		break;
	case QUEUE_PAUSE:
	case QUEUE_STOP:
		queue_drain_command(queue);
		cancel_all(queue);
		break;
	case QUEUE_REMOVE:
		queue->removing = true;
		ring_timer_hurry(&queue->worker->ring, &queue->retry);
		ring_poll_stop(&queue->kick, kick_stopped);
		queue_drain_command(queue);
		break;
	}
}

static void run_answer(struct ring_message *message)
{
	struct queue *queue = container_of(message, struct queue, answer);

	queue->answered(queue);
}

int queue_init(struct queue *queue, struct device *device, uint32_t index, struct worker *worker)
{
	int err;

	queue->device = device;
	queue->device_name = device->config->name;
	queue->index = index;
	queue->dev = device->dev;
	queue->backend = device->backend;
	queue->limits = &device->limits;
	queue->worker = worker;
	queue->main_ring = device->ring;
	queue->poll_us = device->config->poll_us;
	queue->retry_s = device->config->on_error;
	queue->command.run = run_command;
	queue->answer.run = run_answer;
	queue->slot_count = queue->limits->queue_size;

	queue->slots = calloc(queue->slot_count, sizeof(*queue->slots));
	if (!queue->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < queue->slot_count; i++)
		queue->slots[i].queue = queue;

	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0) {
		err = -errno;
		free(queue->slots);
		queue->slots = NULL;
		return err;
	}
	virtq_init(&queue->vq, vduse_dev_iotlb(queue->dev));
	virtq_set_log(&queue->vq, inflight_vq(device->inflight, index));
	return 0;
}

void queue_exit(struct queue *queue)
{
	virtq_exit(&queue->vq);
	close(queue->kick_fd);
	free(queue->slots);
}

void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*answered)(struct queue *queue))
{
	queue->verb = verb;
	queue->command_features = features;
	queue->answered = answered;
	ring_post(&queue->worker->ring, &queue->command);
}
