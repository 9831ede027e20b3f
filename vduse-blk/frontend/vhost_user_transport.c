// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_user_steps.h"

static struct vhost_user_device *vu_of(struct transport *transport)
{
	return container_of(transport, struct vhost_user_device, transport);
}

/* The queue checks the result: an address in no region is not mapped. */
static uint64_t guest_addr(const struct vhost_user_device *vu, uint64_t user_addr)
{
	uint64_t addr;

	return vhost_user_memory_guest_addr(&vu->memory, user_addr, &addr) ? UINT64_MAX - 15 : addr;
}

static int get_rings(struct transport *transport, uint32_t queue, struct transport_rings *out)
{
	const struct vhost_user_device *vu = vu_of(transport);
	const struct vhost_user_vring *vring = &vu->vrings[queue];

	*out = (struct transport_rings){
		.ready = true,
		.size = vring->num,
		.desc = guest_addr(vu, vring->addr.desc),
		.driver = guest_addr(vu, vring->addr.avail),
		.device = guest_addr(vu, vring->addr.used),
		.next_avail = vring->base,
	};
	return 0;
}

static int get_kick(struct transport *transport, uint32_t queue)
{
	return vu_of(transport)->vrings[queue].kick_fd;
}

static struct queue *queue_of(const struct vhost_user_vring *vring)
{
	return &vring->vu->device->queues.all[vring->index];
}

static void submit_call(struct vhost_user_vring *vring);

/* A failure is the front end's: it has passed a descriptor that cannot be written to. */
static void call_done(struct ring_op *op, int res, uint32_t flags)
{
	struct vhost_user_vring *vring = container_of(op, struct vhost_user_vring, call);
	struct queue *queue = queue_of(vring);

	(void)res;
	(void)flags;
	vring->calling = false;
	if (vring->call_again)
		submit_call(vring);
	if (queue->held) /* a STOP or REMOVE may wait for the end of the write */
		worker_schedule(queue->worker, &queue->work);
}

/*
 * write() could block the worker: the front end may fill the counter of the eventfd, and take
 * O_NONBLOCK away from it. io_uring waits elsewhere then. Usually the write is done at once, in the
 * system call that submits the next I/O.
 */
static void submit_call(struct vhost_user_vring *vring)
{
	static const uint64_t one = 1;
	struct io_uring_sqe *sqe = ring_sqe(&queue_of(vring)->worker->ring);

	vring->calling = true;
	vring->call_again = false;
	vring->call.done = call_done;
	io_uring_prep_write(sqe, vring->call_fd, &one, sizeof(one), 0);
	ring_sqe_done(sqe, &vring->call);
}

static int interrupt(struct transport *transport, uint32_t queue, bool adopted)
{
	struct vhost_user_vring *vring = &vu_of(transport)->vrings[queue];

	(void)adopted;
	if (!load_relaxed(&vring->has_call))
		return 0;
	if (vring->calling)
		vring->call_again = true;
	else
		submit_call(vring);
	return 0;
}

static const struct dirty_log *dirty_log(struct transport *transport, uint32_t queue,
					 uint64_t *used)
{
	const struct vhost_user_device *vu = vu_of(transport);

	*used = vu->vrings[queue].addr.log;
	return vu->log_all && vu->dirty.bits ? &vu->dirty : NULL;
}

static bool idle(struct transport *transport, uint32_t queue)
{
	struct vhost_user_vring *vring = &vu_of(transport)->vrings[queue];

	if (!vring->calling)
		return true;
	ring_cancel(&queue_of(vring)->worker->ring, &vring->call);
	return false;
}

static const struct transport_ops ops = {
	.rings = get_rings,
	.kick = get_kick,
	.interrupt = interrupt,
	.dirty_log = dirty_log,
	.idle = idle,
};

void vhost_user_set_call(struct vhost_user_vring *vring, int fd)
{
	store_relaxed(&vring->has_call, fd >= 0);
	if (fd < 0)
		return;
	dup3(fd, vring->call_fd, O_CLOEXEC);
	close(fd);
}

int vhost_user_transport_init(struct vhost_user_device *vu)
{
	uint32_t count = vu->device->limits.queues;

	vu->transport = (struct transport){
		.ops = &ops,
		.iotlb = &vu->memory.tlb,
		.unmapped_hint = "",
	};
	vu->vrings = calloc(count, sizeof(*vu->vrings));
	if (!vu->vrings)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		vu->vrings[i] = (struct vhost_user_vring){
			.vu = vu,
			.index = i,
			.kick_fd = -1,
			.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
		if (vu->vrings[i].call_fd >= 0)
			continue;
		log_err("%s: queue %u: cannot create an eventfd: %s", vu->device->config->name, i,
			strerror(errno));
		vhost_user_transport_exit(vu);
		return -EMFILE;
	}
	return 0;
}

void vhost_user_transport_exit(struct vhost_user_device *vu)
{
	for (uint32_t i = 0; i < vu->device->limits.queues; i++) {
		if (vu->vrings[i].call_fd > 0)
			close(vu->vrings[i].call_fd);
		if (vu->vrings[i].vu && vu->vrings[i].kick_fd >= 0)
			close(vu->vrings[i].kick_fd);
	}
	free(vu->vrings);
	vu->vrings = NULL;
}
