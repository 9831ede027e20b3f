// SPDX-License-Identifier: GPL-2.0-or-later
/* The end of a connection: it is closed, or passed to the next server. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_handover.h"
#include "vhost_user_steps.h"

/* The socket too: messages in it that were not received may have descriptors. */
static void close_connection(struct vhost_user_device *vu)
{
	int fds[VHOST_USER_FDS_ROOM + 3];
	unsigned int count = vhost_user_take_all(&vu->socket.message, fds);

	if (!vu->held)
		shutdown(vu->socket.fd, SHUT_RDWR);
	fds[count++] = vu->socket.fd;
	fds[count++] = vu->next_fd;
	fds[count++] = vu->backend_fd;
	vu->socket.fd = vu->next_fd = vu->backend_fd = -1;
	vhost_user_close(vu, fds, count);
}

static void forget_connection(struct vhost_user_device *vu)
{
	vhost_user_reset_vrings(vu);
	vhost_user_drop_dirty_log(vu);
	vhost_user_memory_clear(&vu->memory);
	close_connection(vu);
	vu->poll = (struct ring_poll){ .ring = NULL };
	vu->features = vu->protocol_features = 0;
	vu->status = 0;
	vu->pid = 0;
	vu->connected = vu->ending = vu->log_all = vu->knows_config = false;
	vu->lost = vu->said_all = vu->held = false;
	vu->resume_err = 0;
	vhost_user_forget_inflight(vu); /* accept_next() tries again */
	vhost_user_note_connection(vu);
}

static void store_released(struct vhost_user_device *vu, const char *why)
{
	int resume_err = vu->resume_err ? vu->resume_err : -ECONNRESET;
	bool resuming = vu->next_fd >= 0;

	(void)why;
	forget_connection(vu);
	if (resuming && vu->device->resumed)
		vu->device->resumed(vu->device, resume_err);
	vhost_user_session_ended(vu);
}

/* Return: was it passed on? */
static bool pass_on_connection(struct vhost_user_device *vu)
{
	struct vhost_user_handover **handover = vu->device->handover;

	if (!handover || vu->lost || vu->next_fd >= 0 || vu->held)
		return false;
	*handover = vhost_user_handover_new(vu);
	return *handover;
}

static void stop_connection(struct vhost_user_device *vu)
{
	const char *name = vu->device->config->name;

	if (pass_on_connection(vu))
		log_info("%s: the connection to the front end (process %d) is passed to the next "
			 "server",
			 name, (int)vu->pid);
	else if (vu->held)
		log_info("%s: the connection to the front end (process %d) is left to the former "
			 "server",
			 name, (int)vu->pid);
	else
		log_info("%s: the connection to the front end (process %d) is closed, since the "
			 "server stops or releases the disk; the front end must connect again",
			 name, (int)vu->pid);
}

static void rings_forgotten(struct queues *queues)
{
	struct vhost_user_device *vu = vhost_user_of_queues(queues);

	if (vu->stopped)
		stop_connection(vu);
	vhost_user_close_store(vu, store_released);
}

/* Cancelled requests were put back: the front end serves them again, by the inflight log. */
static void rings_paused(struct queues *queues)
{
	queues_command(queues, QUEUE_STOP, 0, rings_forgotten);
}

static void poll_stopped(struct ring_poll *poll)
{
	struct vhost_user_device *vu = container_of(poll, struct vhost_user_device, poll);

	queues_command(&vu->device->queues, QUEUE_PAUSE, 0, rings_paused);
}

/* Where a message is being processed, vhost_user_message_done() calls it again. */
void vhost_user_session_end(struct vhost_user_device *vu)
{
	if (vu->ending || vu->handler || vu->switching)
		return;
	vu->ending = true;
	ring_poll_stop(&vu->poll, poll_stopped);
}
