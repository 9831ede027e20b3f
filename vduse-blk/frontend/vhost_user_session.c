// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

/* Messages of one front end in a row. Then the main thread serves others first. */
#define MESSAGES_IN_A_ROW 32

static void receive(struct vhost_user_device *vu);
static void readable(struct ring_poll *poll);

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

/* What one server has accepted, the next one refuses where it has too little of something. */
static int resume_error(const char *why)
{
	static const int shortages[] = { EMFILE, ENFILE, ENOMEM };

	for (unsigned int i = 0; i < ARRAY_SIZE(shortages); i++)
		if (strstr(why, strerror(shortages[i])))
			return -shortages[i];
	return -EPROTO;
}

/* Without a reply the front end would not know that the message failed: the connection ends. */
void vhost_user_message_done(struct vhost_user_device *vu)
{
	const struct vhost_user_message *message = &vu->socket.message;
	bool wants_reply = message->header.flags & VHOST_USER_NEED_REPLY &&
			   vu->protocol_features & (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK);
	bool own_reply = vu->handler && vu->handler->replies;
	uint64_t result = vu->why != NULL;

	/* It may have been acknowledged as failed: the next server could not make that good. */
	vu->lost = vu->why && vu->stopped;
	if (vu->why && !vu->stopped)
		refuse(vu);
	if (vu->why && vu->next_fd >= 0)
		vu->resume_err = resume_error(vu->why);
	if (wants_reply && !own_reply)
		vu->why = vhost_user_unsent(
			vhost_user_reply(&vu->socket, &result, sizeof(result), -1));
	vu->handler = NULL;
	vu->lost |= vu->why != NULL;
	if (vu->why || vu->stopped)
		vhost_user_session_end(vu);
	if (!vu->receiving)
		receive(vu);
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
	if (!vu->why)
		vhost_user_take_effect(vu);
	else
		vhost_user_message_done(vu);
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
	vu->lost = true;
	vhost_user_session_end(vu);
}

static void transcript_ended(struct ring_poll *poll)
{
	struct vhost_user_device *vu = container_of(poll, struct vhost_user_device, poll);

	close(vu->socket.fd);
	vu->socket.fd = vu->next_fd;
	vu->next_fd = -1;
	vu->switching = false;
	vu->held = vu->device->connection->held;
	ring_poll_start(vu->device->ring, poll, vu->socket.fd, readable);
	if (vu->stopped)
		vhost_user_session_end(vu);
	else if (vu->device->resumed)
		vu->device->resumed(vu->device, 0);
}

/* The former server has closed the transcript, or was killed while it sent it. */
static void continue_connection(struct vhost_user_device *vu)
{
	if (!vu->said_all || vu->socket.got != vu->rest) {
		connection_lost(vu, -EPROTO,
				"the former server has passed only a part of its state");
		return;
	}
	vu->switching = true;
	ring_poll_stop(&vu->poll, transcript_ended);
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
		vhost_user_close(vu, fds, count);
}

/* Called again when the message that is being processed has taken effect. */
static void receive(struct vhost_user_device *vu)
{
	const char *why;
	int got = 1;

	vu->receiving = true;
	while (got == 1 && !vu->handler && !vu->ending && !vu->switching && !vu->held &&
	       vu->budget) {
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
	if (got == -ECONNRESET && vu->next_fd >= 0)
		continue_connection(vu);
	else if (got < 0)
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
	if (vu->announced && vu->next_fd >= 0)
		log_info("%s: continues the connection to the front end (process %d)", name_of(vu),
			 (int)vu->pid);
	else if (vu->announced)
		log_info("%s: a front end (process %d) has connected to %s", name_of(vu),
			 (int)vu->pid, vu->listener.path);
	vhost_user_note_connection(vu);
	ring_poll_start(vu->device->ring, &vu->poll, fd, readable);
}
