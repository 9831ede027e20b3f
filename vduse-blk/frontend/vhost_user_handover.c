// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_handover.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "closer.h"
#include "task.h"
#include "vhost_user_device.h"

/*
 * How long the task waits for a next server that does not receive: it may wait for its socket, or for the
 * store, and the front end waits with it.
 */
#define SEND_SECONDS 600

/* A task that sends the transcript to the next server. */
struct sender {
	struct task task;
	struct vhost_user_handover *handover;
	int to;
};

/* After a failure nothing more is added. */
struct writer {
	struct vhost_user_transcript *transcript;
	int err;
};

/* Takes *@fd, if it is not NULL. */
static void say(struct writer *writer, uint32_t request, const void *payload, uint32_t size,
		int *fd)
{
	if (!writer->err)
		writer->err = vhost_user_transcript_add(writer->transcript, request, payload, size,
							fd ? *fd : -1);
	if (!writer->err && fd)
		*fd = -1;
}

static void say_u64(struct writer *writer, uint32_t request, uint64_t value)
{
	say(writer, request, &value, sizeof(value), NULL);
}

static void say_state(struct writer *writer, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_state state = { .index = index, .num = num };

	say(writer, request, &state, sizeof(state), NULL);
}

static void say_eventfd(struct writer *writer, uint32_t request, uint64_t index, int *fd)
{
	if (*fd >= 0)
		say(writer, request, &index, sizeof(index), fd);
}

static void say_signal(struct writer *writer, uint32_t request, uint64_t index,
		       struct vhost_user_signal *signal)
{
	if (signal->wanted)
		say_eventfd(writer, request, index, &signal->fd);
}

static void say_features(struct writer *writer, const struct vhost_user_device *vu)
{
	say_u64(writer, VHOST_USER_SET_FEATURES, vu->features);
	say_u64(writer, VHOST_USER_SET_PROTOCOL_FEATURES, vu->protocol_features);
	say_u64(writer, VHOST_USER_SET_STATUS, vu->status);
}

/* Also a log that the front end does not have: the requests in flight are in it. */
static void say_inflight(struct writer *writer, struct vhost_user_device *vu)
{
	const struct vhost_user_inflight inflight = { .num_queues = vu->inflight_queues };

	say(writer, VHOST_USER_SET_INFLIGHT_FD, &inflight, sizeof(inflight), &vu->inflight_fd);
}

static void say_memory(struct writer *writer, struct vhost_user_device *vu)
{
	for (unsigned int i = 0; i < vu->memory.count; i++) {
		struct vhost_user_mapped *mapped = &vu->memory.regions[i];
		const struct vhost_user_one_region one = { .region = mapped->region };

		say(writer, VHOST_USER_ADD_MEM_REG, &one, sizeof(one), &mapped->fd);
	}
}

static void say_dirty_log(struct writer *writer, struct vhost_user_device *vu)
{
	const struct vhost_user_log log = {
		.mmap_size = vu->dirty.size,
		.mmap_offset = vu->dirty_offset,
	};

	if (vu->dirty.bits)
		say(writer, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &vu->dirty_fd);
}

/* The kick is last: it starts the ring. */
static void say_vring(struct writer *writer, struct vhost_user_vring *vring)
{
	uint32_t i = vring->index;

	say_signal(writer, VHOST_USER_SET_VRING_CALL, i, &vring->call);
	say_signal(writer, VHOST_USER_SET_VRING_ERR, i, &vring->err);
	if (vring->num)
		say_state(writer, VHOST_USER_SET_VRING_NUM, i, vring->num);
	if (vring->has_addr)
		say(writer, VHOST_USER_SET_VRING_ADDR, &vring->addr, sizeof(vring->addr), NULL);
	say_state(writer, VHOST_USER_SET_VRING_BASE, i, vring->base);
	say_state(writer, VHOST_USER_SET_VRING_ENABLE, i, vring->enabled);
	say_eventfd(writer, VHOST_USER_SET_VRING_KICK, i, &vring->kick_fd);
}

static int say_all(struct vhost_user_device *vu, struct vhost_user_transcript *transcript)
{
	struct writer writer = { .transcript = transcript };

	say_features(&writer, vu);
	say_inflight(&writer, vu);
	say_memory(&writer, vu);
	say_dirty_log(&writer, vu);
	if (vu->backend_fd >= 0)
		say(&writer, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &vu->backend_fd);
	for (uint32_t i = 0; i < vu->device->limits.queues; i++)
		say_vring(&writer, &vu->vrings[i]);
	return writer.err ? writer.err : vhost_user_transcript_end(transcript, &vu->socket);
}

struct vhost_user_handover *vhost_user_handover_new(struct vhost_user_device *vu)
{
	struct vhost_user_handover *handover = calloc(1, sizeof(*handover));

	if (!handover)
		return NULL;
	handover->ring = vu->device->ring;
	handover->connection = -1;
	vhost_user_transcript_init(&handover->transcript);
	if (say_all(vu, &handover->transcript)) {
		vhost_user_handover_drop(handover);
		return NULL;
	}
	handover->connection = vu->socket.fd;
	vu->socket.fd = -1;
	return handover;
}

static void send_work(struct task *task)
{
	struct sender *sender = container_of(task, struct sender, task);
	/* After an error the next server, which has received too little, closes the connection. */
	int err = vhost_user_transcript_send(&sender->handover->transcript, sender->to);

	(void)err;
}

/* With the descriptors of the transcript, and the connection. */
static void handover_free(struct vhost_user_handover *handover)
{
	unsigned int count = vhost_user_transcript_fds(&handover->transcript, NULL);
	int *fds = calloc(count + 1, sizeof(*fds));
	struct closer_items items = { .fds = fds, .fd_count = count + 1 };

	if (fds) {
		vhost_user_transcript_fds(&handover->transcript, fds);
		fds[count] = handover->connection;
		closer_start(handover->ring, &items, NULL, NULL);
	}
	free(fds);
	vhost_user_transcript_exit(&handover->transcript);
	free(handover);
}

static void sent(struct task *task)
{
	struct sender *sender = container_of(task, struct sender, task);
	struct vhost_user_handover *handover = sender->handover;
	const struct closer_items items = { .fds = &sender->to, .fd_count = 1 };

	closer_start(handover->ring, &items, NULL, NULL);
	free(sender);
	if (!--handover->senders && handover->dropped)
		handover_free(handover);
}

/* @to: owned by the sender, if it is started. Return: 0; -errno */
static int sender_start(struct vhost_user_handover *handover, int to)
{
	const struct timeval wait = { .tv_sec = SEND_SECONDS };
	struct sender *sender = calloc(1, sizeof(*sender));
	int err;

	if (!sender)
		return -ENOMEM;
	setsockopt(to, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	*sender = (struct sender){
		.task = {
			.name = "hand over",
			.work = send_work,
			.done = sent,
			.shares_descriptors = true,
		},
		.handover = handover,
		.to = to,
	};
	err = task_start(&sender->task, handover->ring);
	if (err)
		free(sender);
	else
		handover->senders++;
	return err;
}

int vhost_user_handover_open(struct vhost_user_handover *handover, int fds[DEVICE_CONNECTION_FDS])
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	err = sender_start(handover, pair[1]);
	if (err) {
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	fds[0] = handover->connection;
	fds[1] = pair[0];
	return 0;
}

void vhost_user_handover_drop(struct vhost_user_handover *handover)
{
	handover->dropped = true;
	if (!handover->senders)
		handover_free(handover);
}
