// SPDX-License-Identifier: GPL-2.0-or-later
#include "queue.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "frontend/device.h"
#include "frontend/irq_cpu.h"
#include "pages.h"
#include "request.h"
#include "sigbus.h"

/* How soon an interrupt is tried again that came before the kernel had stored DRIVER_OK. */
#define IRQ_RETRY_US 1000

static bool accepted(const struct queue *queue, unsigned int feature)
{
	return queue->features & (1ull << feature);
}

static void queue_break(struct queue *queue, const char *why)
{
	queue_set_state(queue, QUEUE_BROKEN);
	queue_stat_add(&queue->stats.broken, 1);
	if (log_allow(&queue->ring_errors, queue->device_name))
		log_err("%s: queue %u stops: %s", queue->device_name, queue->index, why);
}

/* A queue at its limit of bytes is scheduled again when a request completes. */
static bool queue_takes(const struct queue *queue)
{
	return queue->state == QUEUE_RUNNING && !queue->held &&
	       queue->bytes_under_way < queue->bytes_max;
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
		if (unlikely(!iov_pool_has(&queue->worker->iov_pool, &queue->large)))
			return;
		taken = virtq_pop(&queue->vq, &chain);
		if (taken == 1) {
			queue->worker->served++;
			req_start(queue, &chain);
		}
	}
	if (unlikely(taken < 0)) {
		queue_check_memory(queue); /* lost memory looks like a broken ring */
		if (queue->state != QUEUE_BROKEN)
			queue_break(queue, "the driver broke the ring");
	}
}

static void queue_interrupted(struct queue *queue, int err);

static void irq_retry(struct ring_timer *timer)
{
	struct queue *queue = container_of(timer, struct queue, irq_retry);

	if (queue->removing || queue->state == QUEUE_STOPPED)
		worker_schedule(queue->worker, &queue->work);
	else
		queue_interrupted(queue, vduse_dev_vq_irq_anyway(queue->dev, queue->index));
}

static void queue_interrupted(struct queue *queue, int err)
{
	queue_stat_add(&queue->stats.interrupts, 1);
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
		queue_interrupted(queue, vduse_dev_vq_irq(queue->dev, queue->index));
}

static void queue_give_back_irq_cpu(struct queue *queue)
{
	irq_cpu_give_back(queue->irq_cpu);
	queue->irq_cpu = -1;
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
		    iov_share_waits(&queue->large))
			return; /* something on the worker still points here */
		worker_forget(&queue->work);
		ring_buffer_remove(&queue->worker->ring, &queue->buffer);
		queue_give_back_irq_cpu(queue);
		log_limit_flush(&queue->ring_errors, queue->device_name);
	}
	if ((queue->verb == QUEUE_PAUSE || queue->verb == QUEUE_SETTLE) &&
	    queue->state == QUEUE_RUNNING)
		queue_set_state(queue, QUEUE_PAUSED);
	/* The answer to them lets memory go. */
	if ((queue->verb == QUEUE_PAUSE || queue->verb == QUEUE_STOP) && queue->guest_memory)
		guest_memory_drop(queue->guest_memory);
	if (queue->verb == QUEUE_STOP) {
		queue_set_state(queue, QUEUE_STOPPED);
		virtq_stop(&queue->vq);
		queue_give_back_irq_cpu(queue);
		/* The next driver may have a new bounce buffer (vduse_dev_driver_begins()). */
		ring_buffer_remove(&queue->worker->ring, &queue->buffer);
		queue->wants_buffer = queue->device->umem;
	}
	command_done(queue, 0); /* after a REMOVE the main thread frees it: touch nothing */
}

/* After every piece of work on the driver's memory: was it there? */
void queue_check_memory(struct queue *queue)
{
	if (unlikely(sigbus_seen()) && queue->state != QUEUE_BROKEN)
		queue_break(queue, "the driver's memory is gone");
}

/* There is bounce memory from the first request on, and it stays until the queue is removed. */
static void queue_register_buffer(struct queue *queue)
{
	size_t size;
	void *addr;
	int err = vduse_dev_umem(queue->dev, &addr, &size);

	if (err == -EAGAIN)
		return;
	queue->wants_buffer = false;
	if (!err)
		err = ring_buffer_add(&queue->worker->ring, &queue->buffer, addr, size);
	if (err && err != -ENOENT)
		log_warn("%s: queue %u: bounce memory is not registered for I/O: %s",
			 queue->device_name, queue->index, strerror(-err));
}

static void queue_round(struct work *work)
{
	struct queue *queue = container_of(work, struct queue, work);

	queue->in_round = true;
	if (unlikely(queue->wants_buffer))
		queue_register_buffer(queue);
	if (queue_takes(queue)) {
		virtq_suppress_kicks(&queue->vq);
		queue_drain(queue);
		req_submit_flushes(queue);
	}
	queue_publish(queue);
	queue_check_memory(queue);
	queue->in_round = false;
	queue_finish_command(queue);
}

static bool queue_has_work(struct work *work)
{
	struct queue *queue = container_of(work, struct queue, work);
	bool has = queue_takes(queue) && !iov_share_waits(&queue->large) &&
		   virtq_has_work(&queue->vq);

	queue_check_memory(queue);
	return has;
}

static void queue_before_sleep(struct work *work)
{
	struct queue *queue = container_of(work, struct queue, work);

	if (queue_takes(queue) && !iov_share_waits(&queue->large) && virtq_want_kick(&queue->vq))
		worker_schedule(queue->worker, &queue->work);
	queue_check_memory(queue);
}

static const struct work_ops queue_work = {
	.run = queue_round,
	.has_work = queue_has_work,
	.before_sleep = queue_before_sleep,
};

static void large_available(struct iov_share *share)
{
	struct queue *queue = container_of(share, struct queue, large);

	worker_schedule(queue->worker, &queue->work);
}

/* Maps the rings. Return: 0; 1: served again from a record; -errno */
static int map_rings(struct queue *queue, const struct virtq_layout *layout, uint16_t next_avail,
		     bool recover)
{
	int ret;

	if (!recover)
		return virtq_start(&queue->vq, layout, next_avail);
	if (queue->vq.log->active)
		ret = virtq_recover(&queue->vq, layout);
	else
		ret = virtq_recover_blind(&queue->vq, layout);
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

static const char *why_not_mapped(const struct queue *queue)
{
	return queue->device->config->driver == VDPA_DRIVER_VHOST
		       ? "its rings are not mapped (is the virtual machine's memory shared?)"
		       : "its rings are not mapped";
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
		queue_set_state(queue, QUEUE_WAITING);
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
			recovering && (queue->device->config->rescue ||
				       inflight_vq_is_active(queue->vq.log)));
	if (err == -EFAULT && recovering) {
		/* The old server died while memory was moving: its new place is told of later. */
		queue->recovering = true;
		queue_set_state(queue, QUEUE_WAITING);
		return;
	}
	if (err < 0) {
		queue_check_memory(queue);
		if (queue->state != QUEUE_BROKEN)
			queue_break(queue, err == -EFAULT ? why_not_mapped(queue) : strerror(-err));
		return;
	}
	if (queue->device->config->driver == VDPA_DRIVER_VIRTIO && queue->irq_cpu < 0)
		queue->irq_cpu = irq_cpu_take(queue->dev, queue->index);
	queue_set_state(queue, QUEUE_RUNNING);
	queue_check_memory(queue);
	worker_schedule(queue->worker, &queue->work);
	if (err == 1) /* the last one may have died with the server */
		queue_interrupted(queue, vduse_dev_vq_irq_anyway(queue->dev, queue->index));
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
		queue_set_state(queue, QUEUE_RUNNING);
	else if (err != -EFAULT)
		queue_break(queue, strerror(-err));
}

static void queue_resume(struct queue *queue)
{
	queue->held = false;
	queue_reopen(queue);
	worker_schedule(queue->worker, &queue->work);
	command_done(queue, 0);
}

static void kicked(struct ring_poll *poll)
{
	struct queue *queue = container_of(poll, struct queue, kick);

	queue_stat_add(&queue->stats.kicks, 1);
	if (!queue->held)
		queue_reopen(queue);
	worker_schedule(queue->worker, &queue->work);
}

static void kick_stopped(struct ring_poll *poll)
{
	struct queue *queue = container_of(poll, struct queue, kick);

	poll->ring = NULL;
	worker_schedule(queue->worker, &queue->work);
}

static void queue_drain_command(struct queue *queue)
{
	queue->draining = true;
	queue->held = true;
	worker_schedule(queue->worker, &queue->work);
}

static void queue_add(struct queue *queue)
{
	struct ring *ring = &queue->worker->ring;

	if (queue->device->config->iopoll && ring_iopoll_init(ring))
		log_warn("%s: queue %u: iopoll has no effect", queue->device_name, queue->index);
	ring_poll_start(ring, &queue->kick, queue->kick_fd, kicked);
	command_done(queue, 0);
}

static void run_command(struct ring_message *message)
{
	struct queue *queue = container_of(message, struct queue, command);

	switch (queue->verb) {
	case QUEUE_ADD:
		queue_add(queue);
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
		req_cancel_all(queue);
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

static void queue_release(struct queue *queue)
{
	pages_free(queue->slots, queue->slot_count * sizeof(*queue->slots));
	iov_share_exit(&queue->large);
	if (queue->stages)
		pages_free(queue->stages, queue->slot_count * sizeof(*queue->stages));
	guest_memory_free(queue->guest_memory);
	queue->slots = NULL;
	queue->stages = NULL;
	queue->guest_memory = NULL;
}

static int queue_alloc(struct queue *queue)
{
	queue->slots = pages_alloc(queue->slot_count * sizeof(*queue->slots));
	if (queue->device->config->pin_guest_memory)
		queue->guest_memory = guest_memory_new(&queue->worker->ring, &queue->vq.view,
						       queue->device_name, GUEST_SLICE_SHIFT);
	if (!queue->slots || iov_share_init(&queue->large) ||
	    (queue->device->config->pin_guest_memory && !queue->guest_memory)) {
		queue_release(queue);
		return -ENOMEM;
	}
	return 0;
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
	queue->work = (struct work){ .ops = &queue_work, .poll_us = device->config->poll_us };
	queue->large.available = large_available;
	queue->retry_s = device->config->on_error;
	queue->command.run = run_command;
	queue->answer.run = run_answer;
	queue->slot_count = queue->limits->queue_size;
	queue->bytes_max = QUEUE_BYTES_MAX;
	queue->wants_buffer = device->umem;
	queue->irq_cpu = -1;

	err = queue_alloc(queue);
	if (err)
		return err;
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0) {
		err = -errno;
		queue_release(queue);
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
	queue_release(queue);
}

void queue_command(struct queue *queue, enum queue_verb verb, uint64_t features,
		   void (*answered)(struct queue *queue))
{
	queue->verb = verb;
	queue->command_features = features;
	queue->answered = answered;
	ring_post(&queue->worker->ring, &queue->command);
}
