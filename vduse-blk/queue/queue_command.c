// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands of the main thread to a queue. A command completes when it has taken effect. */
#include "queue_steps.h"

static void command_done(struct queue *queue, int result)
{
	struct queue_command *command = &queue->command;

	command->quiescing = false;
	command->result = result;
	command->next_avail = queue->state == QUEUE_WAITING ? queue->first_avail
							    : queue->vq.last_avail;
	command->replays = virtq_replays_left(&queue->vq) + queue->recovering;
	ring_post(queue->disk->main_ring, &command->completion);
}

static bool transport_is_idle(const struct queue *queue)
{
	struct transport *transport = queue->disk->transport;

	return !transport->ops->idle || transport->ops->idle(transport, queue->index);
}

/* Do timers, polls or lists of the worker refer to a queue that is to be stopped or removed? */
static bool is_referenced(const struct queue *queue)
{
	switch (queue->command.verb) {
	case QUEUE_REMOVE:
		return queue->kick.ring || queue->irq_retry.active ||
		       !requests_have_ended(&queue->requests) || !transport_is_idle(queue);
	case QUEUE_STOP:
		return queue->kick.ring || !transport_is_idle(queue);
	default:
		return false;
	}
}

static void drop_buffer(struct queue *queue)
{
	ring_buffer_remove(&queue->worker->ring, &queue->requests.buffer);
}

static void paused(struct queue *queue)
{
	if (queue->state == QUEUE_RUNNING)
		queue_set_state(queue, QUEUE_PAUSED);
}

static void stopped(struct queue *queue)
{
	queue_set_state(queue, QUEUE_STOPPED);
	virtq_stop(&queue->vq);
	queue_set_running(queue, false);
	/* The next driver may have a new bounce buffer (vduse_dev_new_driver()). */
	drop_buffer(queue);
	queue->wants_buffer = queue->disk->transport->has_buffer;
}

static void removed(struct queue *queue)
{
	worker_forget(&queue->work);
	drop_buffer(queue);
	queue_set_running(queue, false);
	log_limit_flush(&queue->requests.errors, queue->disk->name);
}

void queue_finish_command(struct queue *queue)
{
	enum queue_verb verb;

	if (!queue->command.quiescing || queue->vq.in_flight || is_referenced(queue))
		return;
	verb = queue->command.verb; /* the main thread's, except for a command under way */
	if ((verb == QUEUE_PAUSE || verb == QUEUE_STOP) && queue->requests.guest_memory)
		guest_memory_drop(queue->requests.guest_memory);
	if (verb == QUEUE_PAUSE || verb == QUEUE_QUIESCE)
		paused(queue);
	else if (verb == QUEUE_STOP)
		stopped(queue);
	else if (verb == QUEUE_REMOVE)
		removed(queue);
	command_done(queue, 0); /* after a REMOVE the main thread frees @queue */
}

static void quiesce(struct queue *queue)
{
	queue->command.quiescing = true;
	queue->held = true;
	queue_schedule(queue);
}

static void add(struct queue *queue)
{
	if (queue->disk->iopoll && ring_iopoll_init(&queue->worker->ring))
		log_warn("%s: queue %u: cannot use iopoll, interrupts are used instead",
			 queue->disk->name, queue->index);
}

static void resume(struct queue *queue)
{
	queue->held = false;
	queue_reopen(queue);
	queue_schedule(queue);
}

static void run_command(struct ring_message *message)
{
	struct queue *queue = container_of(message, struct queue, command.message);
	enum queue_verb verb = queue->command.verb;

	switch (verb) {
	case QUEUE_ADD:
		add(queue);
		command_done(queue, 0);
		break;
	case QUEUE_START:
	case QUEUE_RECOVER:
		command_done(queue,
			     queue_start(queue, queue->command.features, verb == QUEUE_RECOVER));
		break;
	case QUEUE_RESUME:
		resume(queue);
		command_done(queue, 0);
		break;
	case QUEUE_QUIESCE:
		quiesce(queue);
		break;
	case QUEUE_PAUSE:
		quiesce(queue);
		req_cancel_all(&queue->requests, true);
		break;
	case QUEUE_STOP:
		quiesce(queue);
		queue_stop_kicks(queue);
		req_cancel_all(&queue->requests, false);
		break;
	case QUEUE_REMOVE:
		quiesce(queue);
		queue_stop_kicks(queue);
		requests_end(&queue->requests);
		break;
	}
}

static void run_completion(struct ring_message *message)
{
	struct queue *queue = container_of(message, struct queue, command.completion);

	queue->command.done(queue);
}

void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*done)(struct queue *queue))
{
	queue->command.verb = verb;
	queue->command.features = features;
	queue->command.done = done;
	ring_post(&queue->worker->ring, &queue->command.message);
}

int queue_init(struct queue *queue, struct queue_disk *disk, uint32_t index, struct worker *worker)
{
	queue->disk = disk;
	queue->index = index;
	queue->worker = worker;
	queue->work = (struct work){ .ops = &queue_work, .poll_us = disk->poll_us };
	queue->wants_buffer = disk->transport->has_buffer;
	queue->command.message.run = run_command;
	queue->command.completion.run = run_completion;
	virtq_init(&queue->vq, disk->transport->iotlb);
	virtq_set_log(&queue->vq, inflight_vq(disk->inflight, index));
	queue->requests.disk = disk;
	queue->requests.queue = index;
	queue->requests.worker = worker;
	queue->requests.work = &queue->work;
	queue->requests.vq = &queue->vq;
	queue->requests.slot_count = disk->limits->queue_size;
	if (!requests_init(&queue->requests))
		return 0;
	virtq_exit(&queue->vq);
	return -ENOMEM;
}

void queue_exit(struct queue *queue)
{
	virtq_exit(&queue->vq);
	requests_exit(&queue->requests);
}
