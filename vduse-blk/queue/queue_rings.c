// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps the rings of a queue: at a start, after a crash, and when memory has moved. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queue_steps.h"

static bool accepted(const struct queue *queue, unsigned int feature)
{
	return queue->requests.features & (1ull << feature);
}

/* Maps the rings. Return: 0; 1: adopted; -errno */
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
		log_info("%s: queue %u: repeats %d requests that were in flight when it stopped",
			 queue->disk->name, queue->index, ret);
	return ret < 0 ? ret : 1;
}

/* QEMU sets all queues ready, also those that the guest has not set up. */
static bool are_set_up(const struct transport_rings *rings)
{
	return rings->ready && rings->size && (rings->desc || rings->driver || rings->device);
}

static void break_unmapped(struct queue *queue, int err)
{
	char why[128];

	queue_check_memory(queue);
	if (queue->state == QUEUE_BROKEN)
		return;
	snprintf(why, sizeof(why), "its rings are not mapped%s",
		 queue->disk->transport->unmapped_hint);
	queue_break(queue, err == -EFAULT ? why : strerror(-err));
}

static void set_dirty_log(struct queue *queue)
{
	struct transport *transport = queue->disk->transport;
	const struct dirty_log *log = NULL;
	uint64_t used = 0;

	if (transport->ops->dirty_log)
		log = transport->ops->dirty_log(transport, queue->index, &used);
	virtq_set_dirty_log(&queue->vq, log, used);
}

void queue_set_running(struct queue *queue, bool running)
{
	struct transport *transport = queue->disk->transport;

	if (queue->running == running)
		return;
	queue->running = running;
	if (transport->ops->running)
		transport->ops->running(transport, queue->index, running);
}

static void serve(struct queue *queue, bool adopted)
{
	queue_set_running(queue, true);
	queue_set_state(queue, QUEUE_RUNNING);
	queue_check_memory(queue);
	queue_schedule(queue);
	if (adopted) /* the former server may have died before it interrupted */
		queue_interrupt(queue, true);
}

static void open_rings(struct queue *queue, const struct transport_rings *rings, bool recovering)
{
	struct virtq_layout layout = {
		.num = (uint16_t)rings->size,
		.desc = rings->desc,
		.driver = rings->driver,
		.device = rings->device,
		.event_idx = accepted(queue, VIRTIO_RING_F_EVENT_IDX),
		.indirect = accepted(queue, VIRTIO_RING_F_INDIRECT_DESC),
	};
	bool recover = recovering &&
		       (queue->disk->recover_blind || inflight_vq_is_active(queue->vq.log));
	int ret = map_rings(queue, &layout, rings->next_avail, recover);

	if (ret == -EFAULT && recovering) {
		/* The former server died while memory moved: an UPDATE_IOTLB will follow. */
		queue->recovering = true;
		queue_set_state(queue, QUEUE_WAITING);
	} else if (ret < 0) {
		break_unmapped(queue, ret);
	} else {
		serve(queue, ret == 1);
	}
}

static void queue_open(struct queue *queue)
{
	struct transport *transport = queue->disk->transport;
	bool recovering = queue->recovering;
	struct transport_rings rings;
	int err = transport->ops->rings(transport, queue->index, &rings);

	queue->recovering = false;
	if (err) {
		queue_break(queue, strerror(-err));
	} else if (!are_set_up(&rings)) {
		inflight_vq_stop(queue->vq.log);
		queue->first_avail = rings.next_avail;
		queue_set_state(queue, QUEUE_WAITING);
	} else if (rings.size > queue->requests.slot_count) {
		queue_break(queue, "the driver set a queue size above the limit");
	} else {
		open_rings(queue, &rings, recovering);
	}
}

/* If the driver has not set the rings up yet, the next kick calls it again. */
void queue_reopen(struct queue *queue)
{
	int err;

	if (queue->state == QUEUE_WAITING)
		queue_open(queue);
	if (queue->state != QUEUE_PAUSED)
		return;
	set_dirty_log(queue);
	err = virtq_remap(&queue->vq);
	if (!err)
		queue_set_state(queue, QUEUE_RUNNING);
	else if (err != -EFAULT)
		queue_break(queue, strerror(-err));
}

static void kicked(struct ring_poll *poll)
{
	struct queue *queue = container_of(poll, struct queue, kick);

	stat_add(&queue->stats.kicks, 1);
	if (!queue->held)
		queue_reopen(queue);
	queue_schedule(queue);
}

static void kicks_stopped(struct ring_poll *poll)
{
	poll->ring = NULL;
	queue_schedule(container_of(poll, struct queue, kick));
}

void queue_stop_kicks(struct queue *queue)
{
	if (queue->kick.ring)
		ring_poll_stop(&queue->kick, kicks_stopped);
}

int queue_start(struct queue *queue, uint64_t features, bool recovering)
{
	struct transport *transport = queue->disk->transport;
	int fd = transport->ops->kick(transport, queue->index);

	queue->held = false;
	queue->recovering = recovering;
	virtq_set_log(&queue->vq, inflight_vq(queue->disk->inflight, queue->index));
	set_dirty_log(queue);
	requests_begin(&queue->requests, features);
	if (fd < 0) {
		queue_break(queue, strerror(-fd));
		return fd;
	}
	ring_poll_start(&queue->worker->ring, &queue->kick, fd, kicked);
	queue_open(queue);
	return 0;
}
