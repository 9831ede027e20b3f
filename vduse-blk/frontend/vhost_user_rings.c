// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about the vrings: size, addresses, eventfds. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

static struct vhost_user_vring *vring_of(struct vhost_user_device *vu)
{
	return &vu->vrings[vu->ring];
}

const char *vhost_user_set_vring_num(struct vhost_user_device *vu,
				     struct vhost_user_message *message)
{
	uint32_t num = message->payload.state.num;

	if (!num || num > vu->device->limits.queue_size || num & (num - 1))
		return "it set a queue size that is no power of two, or above queue_size";
	vring_of(vu)->num = num;
	return NULL;
}

const char *vhost_user_set_vring_addr(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	vring_of(vu)->addr = message->payload.addr;
	vring_of(vu)->has_addr = true;
	return NULL;
}

const char *vhost_user_set_vring_base(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	vring_of(vu)->base = (uint16_t)message->payload.state.num;
	return NULL;
}

void vhost_user_close_kick(struct vhost_user_vring *vring)
{
	if (vring->kick_fd >= 0)
		close(vring->kick_fd);
	vring->kick_fd = -1;
}

const char *vhost_user_get_vring_base(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	struct vhost_user_vring *vring = vring_of(vu);
	struct vhost_user_state state = { .index = vring->index, .num = vring->base };

	(void)message;
	vhost_user_close_kick(vring);
	return vhost_user_reply_with(vu, &state, sizeof(state));
}

/* Only an eventfd: to poll or write another file could block, or never end. */
static const char *take_eventfd(struct vhost_user_message *message, int *fd)
{
	char path[40], target[32];
	ssize_t len;

	*fd = -1;
	if (message->payload.u64 & VHOST_USER_VRING_NO_FD)
		return message->fd_count ? "it has a descriptor, and says that it has none" : NULL;
	if (message->fd_count != 1)
		return "it has no descriptor";
	snprintf(path, sizeof(path), "/proc/self/fd/%d", message->fds[0]);
	len = readlink(path, target, sizeof(target) - 1);
	target[MAX(len, 0)] = '\0';
	if (strcmp(target, "anon_inode:[eventfd]"))
		return "its descriptor is no eventfd";
	*fd = vhost_user_take_fd(message, 0);
	return NULL;
}

const char *vhost_user_set_vring_kick(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	struct vhost_user_vring *vring = vring_of(vu);
	int fd;
	const char *why = take_eventfd(message, &fd);

	if (why)
		return why;
	if (fd < 0)
		return "it wants its ring to be polled without a kick eventfd";
	vhost_user_close_kick(vring);
	vring->kick_fd = fd;
	return NULL;
}

/* At any time: QEMU masks and unmasks interrupts by it. */
const char *vhost_user_set_vring_call(struct vhost_user_device *vu,
				      struct vhost_user_message *message)
{
	int fd;
	const char *why = take_eventfd(message, &fd);

	if (!why)
		vhost_user_signal_set(&vring_of(vu)->call, fd);
	return why;
}

/* Without an eventfd nothing is reported: the log names what is wrong with a ring. */
const char *vhost_user_set_vring_err(struct vhost_user_device *vu,
				     struct vhost_user_message *message)
{
	int fd;

	(void)take_eventfd(message, &fd);
	vhost_user_signal_set(&vring_of(vu)->err, fd);
	return NULL;
}

const char *vhost_user_set_vring_enable(struct vhost_user_device *vu,
					struct vhost_user_message *message)
{
	vring_of(vu)->enabled = message->payload.state.num;
	return NULL;
}

void vhost_user_reset_vrings(struct vhost_user_device *vu)
{
	for (uint32_t i = 0; i < vu->device->limits.queues; i++) {
		struct vhost_user_vring *vring = &vu->vrings[i];

		vhost_user_close_kick(vring);
		vhost_user_signal_close(&vring->call);
		vhost_user_signal_close(&vring->err);
		vring->num = vring->base = 0;
		vring->has_addr = vring->enabled = vring->running = false;
	}
	store_relaxed(&vu->device->queues.disk.writethrough, false);
}
