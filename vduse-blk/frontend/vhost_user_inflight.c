// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about the inflight log, which the front end keeps while the server restarts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

/*
 * The log has room for the largest rings, whatever queue_size the front end names: QEMU names that of
 * its property, and a guest may set up larger rings. QEMU passes mmap_size back as it is in the reply.
 */
static void inflight_params(const struct vhost_user_device *vu, uint16_t queues,
			    char identity[INFLIGHT_IDENTITY_MAX], struct inflight_params *params)
{
	const struct device *device = vu->device;

	snprintf(identity, INFLIGHT_IDENTITY_MAX, "%s at %llu", device->backend->identity,
		 (unsigned long long)device->backend->offset);
	*params = (struct inflight_params){
		.name = device->config->name,
		.vq_num = queues,
		.vq_size = VIRTQ_MAX_SIZE,
		.identity = identity,
	};
}

/* Until a reset, the mark for lost writes and the state of the write cache pass from log to log. */
static void pass_on(struct vhost_user_device *vu, struct inflight_vq *log)
{
	struct queue_disk *disk = &vu->device->queues.disk;

	if (load_relaxed(&disk->flush_failed))
		log->user_flag = 1;
	if (disk->writethrough || log->user_value)
		log->user_value = disk->writethrough = true;
}

void vhost_user_set_writethrough(struct vhost_user_device *vu, bool on)
{
	inflight_vq(vu->device->inflight, 0)->user_value = on;
	store_relaxed(&vu->device->queues.disk.writethrough, on);
}

static const char *use_inflight(struct vhost_user_device *vu, const struct inflight_params *params,
				int fd)
{
	static char why[INFLIGHT_WHY_MAX]; /* main thread only */
	struct inflight *inflight, *old = vu->device->inflight;
	int err = inflight_memory_open(params, fd, &inflight, why);

	if (err)
		return err == -EINVAL ? why : strerror(-err);
	pass_on(vu, inflight_vq(inflight, 0));
	queues_set_inflight(&vu->device->queues, inflight);
	vu->device->inflight = inflight;
	vu->inflight_queues = params->vq_num;
	if (old)
		inflight_close(old, true);
	return NULL;
}

static int renew_inflight(struct vhost_user_device *vu)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;
	const char *why;
	size_t size;
	int fd, err;

	inflight_params(vu, vu->device->limits.queues, identity, &params);
	err = inflight_memory_new(&params, &fd, &size);
	if (err) {
		if (log_allow(&vu->refusals, params.name))
			log_err("%s: cannot create an inflight log: %s", params.name,
				strerror(-err));
		return err;
	}
	why = use_inflight(vu, &params, fd);
	close(fd);
	if (why && log_allow(&vu->refusals, params.name))
		log_err("%s: cannot use a new inflight log: %s", params.name, why);
	return why ? -EIO : 0;
}

int vhost_user_renew_inflight(struct vhost_user_device *vu)
{
	int err = renew_inflight(vu);

	vu->keeps_inflight = false;
	vu->stale_inflight = err;
	return err;
}

/* The message that sets it follows: the front end passes the same descriptor. */
const char *vhost_user_get_inflight_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message)
{
	struct vhost_user_inflight inflight = message->payload.inflight;
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;
	size_t size;
	int fd, err;

	if (!inflight.num_queues || inflight.num_queues > vu->device->limits.queues)
		return "it wants more queues than the disk has";
	inflight_params(vu, inflight.num_queues, identity, &params);
	err = inflight_memory_new(&params, &fd, &size);
	if (err)
		return strerror(-err);
	inflight.mmap_size = size;
	inflight.mmap_offset = 0;
	err = vhost_user_reply(&vu->socket, &inflight, sizeof(inflight), fd);
	close(fd);
	return vhost_user_unsent(err);
}

const char *vhost_user_set_inflight_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message)
{
	const struct vhost_user_inflight *inflight = &message->payload.inflight;
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;
	const char *why;

	if (message->fd_count != 1 || inflight->mmap_offset)
		return "it has no inflight log of vduse-blk";
	if (!inflight->num_queues || inflight->num_queues > vu->device->limits.queues)
		return "its inflight log has more queues than the disk";
	inflight_params(vu, inflight->num_queues, identity, &params);
	why = use_inflight(vu, &params, message->fds[0]);
	vu->keeps_inflight = !why;
	if (!why)
		close(vhost_user_take_fd(message, 0));
	return why;
}
