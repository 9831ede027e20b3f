// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

/* Messages of one front end in a row. Then the main thread serves others first. */
#define MESSAGES_IN_A_ROW 32

static void receive(struct vhost_user_device *vu);
static void settle(struct vhost_user_device *vu);

static struct vhost_user_device *vu_of_queue(struct queue *queue)
{
	return vhost_user_of_queues(container_of(queue->disk, struct queues, disk));
}

static struct queue *queue_of(struct vhost_user_device *vu, uint32_t index)
{
	return &vu->device->queues.all[index];
}

static const char *name_of(const struct vhost_user_device *vu)
{
	return vu->device->config->name;
}

/* ---- the end of a message ---- */

static void refuse(struct vhost_user_device *vu)
{
	uint32_t request = vu->socket.message.header.request;

	if (log_allow(&vu->refusals, name_of(vu)))
		log_err("%s: refused message %s (%u) of the front end (process %d): %s",
			name_of(vu), vhost_user_request_name(request), request, (int)vu->pid,
			vu->why);
}

/* Without a reply the front end would not know that the message failed: the connection ends. */
static void finish_message(struct vhost_user_device *vu)
{
	const struct vhost_user_message *message = &vu->socket.message;
	bool wants_reply = message->header.flags & VHOST_USER_NEED_REPLY &&
			   vu->protocol_features & (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK);
	bool own_reply = vu->handler && vu->handler->replies;
	uint64_t result = vu->why != NULL;

	if (vu->why && !vu->stopped)
		refuse(vu);
	if (wants_reply && !own_reply)
		vu->why = vhost_user_unsent(
			vhost_user_reply(&vu->socket, &result, sizeof(result), -1));
	vu->handler = NULL;
	if (vu->why || vu->stopped)
		vhost_user_session_end(vu);
}

/* ---- a vring starts or stops ---- */

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
	finish_message(vu);
	if (!vu->receiving)
		receive(vu);
}

static void resumed(struct queues *queues)
{
	settle(vhost_user_of_queues(queues));
}

static void apply(struct vhost_user_device *vu)
{
	vu->why = vu->handler->apply(vu, &vu->socket.message);
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
	inflight_vq_stop(inflight_vq(vu->device->inflight, queue->index));
	queue_command(queue, QUEUE_STOP, 0, ring_stopped);
}

/* Requests that a pause has put back, or of a former server: the base cannot show them. */
static void ring_quiesced(struct queue *queue)
{
	if (queue->command.replays && load_relaxed(&queue->state) == QUEUE_PAUSED)
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
	uint32_t end = all ? vu->device->limits.queues : vu->ring + 1;

	for (uint32_t i = all ? 0 : vu->ring; i < end; i++) {
		if (!vu->vrings[i].running)
			continue;
		queue_command(queue_of(vu, i), QUEUE_QUIESCE, 0, ring_quiesced);
		return;
	}
	rings_are_stopped(vu);
}

static void reset_done(struct queues *queues)
{
	struct vhost_user_device *vu = vhost_user_of_queues(queues);

	for (uint32_t i = 0; i < vu->device->limits.queues; i++) {
		vu->vrings[i].running = false;
		if (i < vu->inflight_queues)
			inflight_vq_stop(inflight_vq(vu->device->inflight, i));
	}
	rings_are_stopped(vu);
}

static void prepare(struct vhost_user_device *vu)
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

/* ---- the beginning of a message ---- */

static const char *check_message(struct vhost_user_device *vu,
				 const struct vhost_user_message *message)
{
	const struct vhost_user_handler *handler = vu->handler;
	uint32_t size = message->header.size;

	if (!handler)
		return "it is unknown";
	if (handler->longer ? size < handler->size : size != handler->size)
		return "its payload has a wrong size";
	if (message->fd_count > handler->fds)
		return "it has too many descriptors";
	vu->ring = 0;
	if (handler->names_vring8)
		vu->ring = message->payload.u64 & VHOST_USER_VRING_INDEX;
	if (handler->names_vring)
		vu->ring = message->payload.state.index;
	if (vu->ring >= vu->device->limits.queues)
		return "it names a ring that does not exist";
	return NULL;
}

static void handle(struct vhost_user_device *vu)
{
	const struct vhost_user_message *message = &vu->socket.message;

	log_debug("%s: %s 0x%" PRIx64, name_of(vu),
		  vhost_user_request_name(message->header.request),
		  message->header.size ? message->payload.u64 : 0);
	vu->handler = vhost_user_handler_of(message->header.request);
	vu->why = check_message(vu, message);
	if (!vu->why) {
		prepare(vu);
		return;
	}
	finish_message(vu);
}

static void connection_lost(struct vhost_user_device *vu, int err, const char *why)
{
	if (err == -EPROTO && log_allow(&vu->refusals, name_of(vu)))
		log_err("%s: the front end (process %d) is disconnected: %s", name_of(vu),
			(int)vu->pid, why);
	else if (err == -ECONNRESET && vu->announced)
		log_info("%s: the front end (process %d) has disconnected", name_of(vu),
			 (int)vu->pid);
	else if (err != -EPROTO && err != -ECONNRESET && log_allow(&vu->refusals, name_of(vu)))
		log_err("%s: cannot receive from the front end (process %d): %s", name_of(vu),
			(int)vu->pid, strerror(-err));
	vhost_user_session_end(vu);
}

static void receive_more(struct ring_message *message)
{
	struct vhost_user_device *vu = container_of(message, struct vhost_user_device, more);

	vu->budget = MESSAGES_IN_A_ROW;
	receive(vu);
}

/* Close the descriptors of the last message that were not taken, in a task: close() may block. */
static void drop_message(struct vhost_user_device *vu)
{
	int fds[VHOST_USER_FDS_ROOM];
	unsigned int count = vhost_user_take_all(&vu->socket.message, fds);

	if (count)
		vhost_user_close_fds(vu, fds, count);
}

/* Called again when the message that is being processed has taken effect. */
static void receive(struct vhost_user_device *vu)
{
	const char *why;
	int got = 1;

	vu->receiving = true;
	while (got == 1 && !vu->handler && !vu->ending && vu->budget) {
		if (vu->socket.message.fd_count && vhost_user_is_whole(&vu->socket))
			drop_message(vu);
		if (!vhost_user_may_receive(vu))
			break;
		got = vhost_user_receive(&vu->socket, &why);
		if (got == 1 && --vu->budget == 0)
			ring_post(vu->device->ring, &vu->more);
		if (got == 1)
			handle(vu);
	}
	vu->receiving = false;
	if (got < 0)
		connection_lost(vu, got, why);
}

void vhost_user_receive_next(struct vhost_user_device *vu)
{
	if (!vu->receiving)
		receive(vu);
}

static void readable(struct ring_poll *poll)
{
	receive(container_of(poll, struct vhost_user_device, poll));
}

void vhost_user_session_begin(struct vhost_user_device *vu, int fd)
{
	vu->connected = true;
	vu->budget = MESSAGES_IN_A_ROW;
	vu->more.run = receive_more;
	vhost_user_socket_init(&vu->socket, fd);
	vu->announced = log_allow(&vu->connections, name_of(vu));
	if (vu->announced)
		log_info("%s: a front end (process %d) has connected to %s", name_of(vu),
			 (int)vu->pid, vu->listener.path);
	vhost_user_note_connection(vu);
	ring_poll_start(vu->device->ring, &vu->poll, fd, readable);
}
