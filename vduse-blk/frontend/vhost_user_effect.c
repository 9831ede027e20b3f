// SPDX-License-Identifier: GPL-2.0-or-later
/* A message takes effect: queues stop or pause before it, and rings that should run are started after it. */
#include "vhost_user_steps.h"

static void settle(struct vhost_user_device *vu);

static struct vhost_user_device *vu_of_queue(struct queue *queue)
{
	return vhost_user_of_queues(container_of(queue->disk, struct queues, disk));
}

static struct queue *queue_of(struct vhost_user_device *vu, uint32_t index)
{
	return &vu->device->queues.all[index];
}

static bool should_run(const struct vhost_user_vring *vring)
{
	bool enables = vring->vu->features & (1ull << VHOST_USER_F_PROTOCOL_FEATURES);

	return vring->kick_fd >= 0 && (vring->enabled || !enables) && vring->num && vring->has_addr;
}

static const char *why_not_start(const struct vhost_user_device *vu,
				 const struct vhost_user_vring *vring)
{
	if (!(vu->features & (1ull << VIRTIO_F_VERSION_1)))
		return "it started a ring without VIRTIO_F_VERSION_1 (the driver is older than virtio "
		       "1.0)";
	if (!vu->memory.count)
		return "it started a ring before it passed memory of the guest";
	if (vring->index >= vu->inflight_queues)
		return "it started a ring that its inflight log does not have";
	return NULL;
}

static void ring_started(struct queue *queue)
{
	struct vhost_user_device *vu = vu_of_queue(queue);

	vu->vrings[queue->index].served = load_relaxed(&queue->state) == QUEUE_RUNNING;
	if (!vu->knows_config)
		vhost_user_config_changed(vu->device);
	settle(vu);
}

/* It is not tried again at the next message, which would be blamed for it. */
static void refuse_to_start(struct vhost_user_vring *vring, const char *why)
{
	vhost_user_close_kick(vring);
	if (!vring->vu->why)
		vring->vu->why = why;
}

static bool is_due(const struct vhost_user_vring *vring)
{
	return should_run(vring) && !vring->running;
}

static void store_opened(struct vhost_user_device *vu, const char *why)
{
	for (uint32_t i = 0; why && i < vu->device->limits.queues; i++)
		if (is_due(&vu->vrings[i]))
			refuse_to_start(&vu->vrings[i], why);
	settle(vu);
}

/* The first ring that starts opens the store, and then the vrings are looked at again. */
static void start_ring(struct vhost_user_device *vu, struct vhost_user_vring *vring)
{
	bool recover = vu->keeps_inflight &&
		       inflight_vq_is_active(inflight_vq(vu->device->inflight, vring->index));

	if (!vu->store) {
		vhost_user_open_store(vu, store_opened);
		return;
	}
	vring->running = true;
	queue_command(queue_of(vu, vring->index), recover ? QUEUE_RECOVER : QUEUE_START,
		      vu->features, ring_started);
}

/*
 * Brings every vring to the state that the front end has asked for, one after the other. Then the
 * message has taken effect. A ring that was stopped for a message that was refused goes on.
 */
static void settle(struct vhost_user_device *vu)
{
	for (uint32_t i = 0; i < vu->device->limits.queues; i++) {
		struct vhost_user_vring *vring = &vu->vrings[i];
		const char *why = why_not_start(vu, vring);

		if (!is_due(vring))
			continue;
		if (!why) {
			start_ring(vu, vring);
			return;
		}
		refuse_to_start(vring, why);
	}
	vhost_user_message_done(vu);
}

static void resumed(struct queues *queues)
{
	settle(vhost_user_of_queues(queues));
}

static void apply(struct vhost_user_device *vu)
{
	vu->why = vu->handler->apply(vu, &vu->socket.message);
	vhost_user_close(vu, NULL, 0);
	if (vu->paused) {
		vu->paused = false;
		queues_command(&vu->device->queues, QUEUE_RESUME, 0, resumed);
	} else {
		settle(vu);
	}
}

static void paused(struct queues *queues)
{
	apply(vhost_user_of_queues(queues));
}

static bool any_running(const struct vhost_user_device *vu)
{
	for (uint32_t i = 0; i < vu->device->limits.queues; i++)
		if (vu->vrings[i].running)
			return true;
	return false;
}

static void store_closed(struct vhost_user_device *vu, const char *why)
{
	(void)why;
	apply(vu);
}

static void rings_are_stopped(struct vhost_user_device *vu)
{
	if (vu->handler->releases && vu->store && !any_running(vu))
		vhost_user_close_store(vu, store_closed);
	else
		apply(vu);
}

/*
 * May requests stay in flight when the message stops a ring? They are in an inflight log that the front end
 * keeps, and are served again when the ring is started, here or by another server.
 */
static bool suspends(const struct vhost_user_device *vu)
{
	const uint64_t both = 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
			      1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT;

	return vu->handler->suspends && vu->keeps_inflight &&
	       (vu->protocol_features & both) == both;
}

static void stop_next(struct vhost_user_device *vu);
static void resumed_to_drain(struct queue *queue);

static void ring_stopped(struct queue *queue)
{
	stop_next(vu_of_queue(queue));
}

/* If its rings were never mapped, the queue has no index of its own. */
static void stop_ring(struct queue *queue)
{
	struct vhost_user_device *vu = vu_of_queue(queue);
	struct vhost_user_vring *vring = &vu->vrings[queue->index];

	if (vring->served)
		vring->base = queue->command.next_avail;
	vring->running = false;
	if (suspends(vu) && queue->command.replays)
		vhost_user_keep_requests(vu);
	else
		inflight_vq_stop(inflight_vq(vu->device->inflight, queue->index));
	queue_command(queue, QUEUE_STOP, 0, ring_stopped);
}

/* Requests that a pause has put back, or of a former server: the base cannot show them. */
static void ring_quiesced(struct queue *queue)
{
	bool drains = !suspends(vu_of_queue(queue));

	if (drains && queue->command.replays && load_relaxed(&queue->state) == QUEUE_PAUSED)
		queue_command(queue, QUEUE_RESUME, 0, resumed_to_drain);
	else
		stop_ring(queue);
}

/* Where the front end has taken the memory of the rings away, these requests cannot be served. */
static void resumed_to_drain(struct queue *queue)
{
	if (load_relaxed(&queue->state) == QUEUE_RUNNING)
		queue_command(queue, QUEUE_QUIESCE, 0, ring_quiesced);
	else
		stop_ring(queue);
}

/* Stops the ring that the message needs stopped, or one ring after the other; then applies it. */
static void stop_next(struct vhost_user_device *vu)
{
	bool all = vu->handler->needs == NEEDS_ALL_STOP;
	enum queue_verb verb = suspends(vu) ? QUEUE_PAUSE : QUEUE_QUIESCE;
	uint32_t end = all ? vu->device->limits.queues : vu->ring + 1;

	for (uint32_t i = all ? 0 : vu->ring; i < end; i++) {
		if (!vu->vrings[i].running)
			continue;
		queue_command(queue_of(vu, i), verb, 0, ring_quiesced);
		return;
	}
	rings_are_stopped(vu);
}

static void reset_done(struct queues *queues)
{
	struct vhost_user_device *vu = vhost_user_of_queues(queues);

	for (uint32_t i = 0; i < vu->device->limits.queues; i++)
		vu->vrings[i].running = false;
	rings_are_stopped(vu);
}

void vhost_user_take_effect(struct vhost_user_device *vu)
{
	switch (vu->handler->needs) {
	case NEEDS_NOTHING:
		apply(vu);
		break;
	case NEEDS_PAUSE:
		vu->paused = any_running(vu);
		if (vu->paused)
			queues_command(&vu->device->queues, QUEUE_PAUSE, 0, paused);
		else
			apply(vu);
		break;
	case NEEDS_RING_STOP:
	case NEEDS_ALL_STOP:
		stop_next(vu);
		break;
	case NEEDS_RESET:
		queues_command(&vu->device->queues, QUEUE_STOP, 0, reset_done);
		break;
	}
}
