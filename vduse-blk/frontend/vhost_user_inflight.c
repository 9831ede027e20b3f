// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about the inflight log, which the front end keeps while the server restarts. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

/* Of inflight_vq.user_value of queue 0. */
#define WRITETHROUGH 1u /* the guest has switched the write cache off */
#define TRAVELS	     2u /* rings were stopped with requests in flight: perhaps for another host */

#define SERIAL ", serial "

static struct inflight_vq *first_queue(const struct vhost_user_device *vu)
{
	return inflight_vq(vu->device->inflight, 0);
}

static void print_identity(const struct vhost_user_device *vu, char text[INFLIGHT_IDENTITY_MAX])
{
	const struct backend *backend = vu->device->backend;

	snprintf(text, INFLIGHT_IDENTITY_MAX, "%s at %llu" SERIAL "%.*s", backend->identity,
		 (unsigned long long)backend->offset, VIRTIO_BLK_ID_BYTES,
		 vu->device->limits.serial);
}

/*
 * The log has room for the largest rings, whatever queue_size the front end names: QEMU names that of
 * its property, and a guest may set up larger rings. QEMU passes mmap_size back as it is in the reply.
 */
static struct inflight_params inflight_params(const struct vhost_user_device *vu, uint16_t queues)
{
	return (struct inflight_params){
		.name = vu->device->config->name,
		.vq_num = queues,
		.vq_size = VIRTQ_MAX_SIZE,
	};
}

static int new_log(const struct vhost_user_device *vu, uint16_t queues, int *fd, size_t *size)
{
	struct inflight_params params = inflight_params(vu, queues);
	char identity[INFLIGHT_IDENTITY_MAX];

	print_identity(vu, identity);
	params.identity = identity;
	return inflight_memory_new(&params, fd, size);
}

static bool same_serial(const char *a, const char *b)
{
	a = strstr(a, SERIAL);
	b = strstr(b, SERIAL);
	return a && b && !strcmp(a, b);
}

/*
 * A host gives the numbers of devices and files, so on another host those in the log are others. There the
 * serial number of the disk must do.
 */
static bool is_of_disk(const struct vhost_user_device *vu, struct inflight *log,
		       char why[INFLIGHT_WHY_MAX])
{
	char was[INFLIGHT_IDENTITY_MAX], is[INFLIGHT_IDENTITY_MAX];

	print_identity(vu, is);
	inflight_memory_identity(log, was);
	if (!strcmp(was, is))
		return true;
	if ((inflight_vq(log, 0)->user_value & TRAVELS) && same_serial(was, is))
		return true;
	snprintf(why, INFLIGHT_WHY_MAX, "the disk was \"%s\" and is \"%s\"", was, is);
	return false;
}

/* Until a reset, the mark for lost writes and the state of the write cache pass from log to log. */
static void pass_on(struct vhost_user_device *vu, struct inflight_vq *log)
{
	struct queue_disk *disk = &vu->device->queues.disk;

	if (load_relaxed(&disk->flush_failed))
		log->user_flag = 1;
	if (log->user_value & WRITETHROUGH)
		disk->writethrough = true;
	if (disk->writethrough)
		log->user_value |= WRITETHROUGH;
}

void vhost_user_set_writethrough(struct vhost_user_device *vu, bool on)
{
	struct inflight_vq *log = first_queue(vu);

	log->user_value = (log->user_value & TRAVELS) | (on ? WRITETHROUGH : 0);
	store_relaxed(&vu->device->queues.disk.writethrough, on);
}

void vhost_user_keep_requests(struct vhost_user_device *vu)
{
	first_queue(vu)->user_value |= TRAVELS;
}

void vhost_user_forget_requests(struct vhost_user_device *vu)
{
	for (uint16_t i = 0; i < vu->inflight_queues; i++)
		inflight_vq_stop(inflight_vq(vu->device->inflight, i));
}

/* On success @vu owns @fd. */
static const char *use_inflight(struct vhost_user_device *vu, uint16_t queues, int fd)
{
	static char why[INFLIGHT_WHY_MAX]; /* main thread only */
	struct inflight_params params = inflight_params(vu, queues);
	struct inflight *inflight, *old = vu->device->inflight;
	int err = inflight_memory_open(&params, fd, &inflight, why);

	if (err)
		return err == -EINVAL ? why : strerror(-err);
	if (!is_of_disk(vu, inflight, why)) {
		inflight_close(inflight, false);
		return why;
	}
	pass_on(vu, inflight_vq(inflight, 0));
	queues_set_inflight(&vu->device->queues, inflight);
	vu->device->inflight = inflight;
	vu->inflight_queues = queues;
	if (old)
		inflight_close(old, true);
	if (vu->inflight_fd >= 0)
		close(vu->inflight_fd);
	vu->inflight_fd = fd;
	return NULL;
}

static int renew_inflight(struct vhost_user_device *vu)
{
	uint16_t queues = (uint16_t)vu->device->limits.queues;
	const char *name = vu->device->config->name, *why;
	size_t size;
	int fd, err;

	err = new_log(vu, queues, &fd, &size);
	if (err) {
		if (log_allow(&vu->refusals, name))
			log_err("%s: cannot create an inflight log: %s", name, strerror(-err));
		return err;
	}
	why = use_inflight(vu, queues, fd);
	if (why)
		close(fd);
	if (why && log_allow(&vu->refusals, name))
		log_err("%s: cannot use a new inflight log: %s", name, why);
	return why ? -EIO : 0;
}

int vhost_user_renew_inflight(struct vhost_user_device *vu)
{
	int err = renew_inflight(vu);

	vu->keeps_inflight = false;
	vu->stale_inflight = err;
	return err;
}

/* The front end may keep the old log. */
void vhost_user_forget_inflight(struct vhost_user_device *vu)
{
	if (!vhost_user_renew_inflight(vu))
		queues_clear_lost_writes(&vu->device->queues);
}

/* The message that sets it follows: the front end passes the same descriptor. */
const char *vhost_user_get_inflight_fd(struct vhost_user_device *vu,
				       struct vhost_user_message *message)
{
	struct vhost_user_inflight inflight = message->payload.inflight;
	size_t size;
	int fd, err;

	if (!inflight.num_queues || inflight.num_queues > vu->device->limits.queues)
		return "it wants more queues than the disk has";
	err = new_log(vu, inflight.num_queues, &fd, &size);
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
	const char *why;

	if (message->fd_count != 1 || inflight->mmap_offset)
		return "it has no inflight log of vduse-blk";
	if (!inflight->num_queues || inflight->num_queues > vu->device->limits.queues)
		return "its inflight log has more queues than the disk";
	why = use_inflight(vu, inflight->num_queues, message->fds[0]);
	vu->keeps_inflight = !why;
	if (!why)
		(void)vhost_user_take_fd(message, 0);
	return why;
}
