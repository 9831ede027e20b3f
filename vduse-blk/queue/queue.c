// SPDX-License-Identifier: GPL-2.0-or-later
#include "queue_steps.h"

#include <errno.h>
#include <string.h>

/* The time until an interrupt is tried again after -EAGAIN. */
#define IRQ_RETRY_US 1000

void queue_break(struct queue *queue, const char *why)
{
	struct transport *transport = queue->disk->transport;

	queue_set_state(queue, QUEUE_BROKEN);
	stat_add(&queue->stats.broken, 1);
	if (log_allow(&queue->requests.errors, queue->disk->name))
		log_err("%s: queue %u stopped until driver reset: %s", queue->disk->name,
			queue->index, why);
	if (transport->ops->broken)
		transport->ops->broken(transport, queue->index);
}

void queue_check_memory(struct queue *queue)
{
	if (likely(requests_check_memory(&queue->requests)))
		return;
	queue->requests.memory_lost = false;
	if (queue->state != QUEUE_BROKEN)
		queue_break(queue, "SIGBUS: the driver's memory was truncated or has an error");
}

/* If requests_have_room() is false, the completion of a request schedules the queue. */
static bool queue_may_take(const struct queue *queue)
{
	return queue->state == QUEUE_RUNNING && !queue->held &&
	       requests_have_room(&queue->requests);
}

/*
 * Processes the avail ring, for at most as many chains as the ring has entries: a driver that adds
 * chains all the time must not delay the other queues of this worker.
 */
static void queue_drain(struct queue *queue)
{
	struct requests *requests = &queue->requests;
	struct worker *worker = queue->worker;
	struct virtq_chain chain = { .iov = worker->chain_iov };
	int taken = 1;

	for (uint32_t n = 0; n < requests->slot_count && taken == 1 && queue_may_take(queue); n++) {
		if (unlikely(!iov_pool_has(&worker->iov_pool, &requests->iov_share)))
			return;
		taken = virtq_pop(&queue->vq, &chain);
		if (taken == 1) {
			worker->served++;
			req_start(requests, &chain);
		}
	}
	if (unlikely(taken < 0)) {
		queue_check_memory(queue); /* lost memory looks like a broken ring */
		if (queue->state != QUEUE_BROKEN)
			queue_break(queue, "the driver wrote an invalid ring");
	}
}

static void irq_retry(struct ring_timer *timer)
{
	struct queue *queue = container_of(timer, struct queue, irq_retry);

	if (queue->state == QUEUE_STOPPED || queue_is_leaving(queue))
		queue_schedule(queue); /* a REMOVE waits for the timer */
	else
		queue_interrupt(queue, true);
}

void queue_interrupt(struct queue *queue, bool adopted)
{
	struct transport *transport = queue->disk->transport;
	int err = transport->ops->interrupt(transport, queue->index, adopted);

	stat_add(&queue->stats.interrupts, 1);
	if (unlikely(err == -EAGAIN))
		ring_timer_start(&queue->worker->ring, &queue->irq_retry, IRQ_RETRY_US, irq_retry);
	else if (unlikely(err) && log_allow(&queue->requests.errors, queue->disk->name))
		log_err("%s: queue %u: cannot interrupt the driver: %s", queue->disk->name,
			queue->index, strerror(-err));
}

static void queue_publish(struct queue *queue)
{
	if (!queue->requests.completed)
		return;
	queue->requests.completed = false;
	if (virtq_publish(&queue->vq))
		queue_interrupt(queue, false);
}

/* The bounce buffer exists from the first request on, until the driver is reset. */
static void queue_register_buffer(struct queue *queue)
{
	struct transport *transport = queue->disk->transport;
	size_t size;
	void *addr;
	int err = transport->ops->buffer(transport, &addr, &size);

	if (err == -EAGAIN)
		return;
	queue->wants_buffer = false;
	if (!err)
		err = ring_buffer_add(&queue->worker->ring, &queue->requests.buffer, addr, size);
	if (err && err != -ENOENT)
		log_warn("%s: queue %u: cannot register the bounce buffer with io_uring: %s",
			 queue->disk->name, queue->index, strerror(-err));
}

static struct queue *queue_of(struct work *work)
{
	return container_of(work, struct queue, work);
}

/* Drain, publish, interrupt. If it completes a REMOVE, the main thread may free the queue. */
static void queue_round(struct work *work)
{
	struct queue *queue = queue_of(work);

	queue->requests.in_round = true;
	queue_check_memory(queue);
	if (unlikely(queue->wants_buffer))
		queue_register_buffer(queue);
	if (queue_may_take(queue)) {
		virtq_suppress_kicks(&queue->vq);
		queue_drain(queue);
		req_submit_flushes(&queue->requests);
	}
	queue_publish(queue);
	queue_check_memory(queue);
	queue->requests.in_round = false;
	queue_finish_command(queue);
}

static bool queue_can_pop(const struct queue *queue)
{
	return queue_may_take(queue) && !iov_share_waits(&queue->requests.iov_share);
}

static bool queue_has_work(struct work *work)
{
	struct queue *queue = queue_of(work);
	bool has = queue_can_pop(queue) && virtq_has_work(&queue->vq);

	queue_check_memory(queue);
	return has;
}

static void queue_before_sleep(struct work *work)
{
	struct queue *queue = queue_of(work);

	if (queue_can_pop(queue) && virtq_want_kick(&queue->vq))
		queue_schedule(queue);
	queue_check_memory(queue);
}

const struct work_ops queue_work = {
	.run = queue_round,
	.has_work = queue_has_work,
	.before_sleep = queue_before_sleep,
};
