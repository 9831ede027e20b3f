// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

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

static int interrupt(struct transport *transport, uint32_t queue, bool adopted)
{
	struct vhost_user_vring *vring = &vu_of(transport)->vrings[queue];

	(void)adopted;
	vhost_user_signal_send(&vring->call, queue_of(vring));
	return 0;
}

static void broken(struct transport *transport, uint32_t queue)
{
	struct vhost_user_vring *vring = &vu_of(transport)->vrings[queue];

	vhost_user_signal_send(&vring->err, queue_of(vring));
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
	bool call = vhost_user_signal_idle(&vring->call);
	bool err = vhost_user_signal_idle(&vring->err);

	return call && err;
}

static const struct transport_ops ops = {
	.rings = get_rings,
	.kick = get_kick,
	.interrupt = interrupt,
	.broken = broken,
	.dirty_log = dirty_log,
	.idle = idle,
};

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
		struct vhost_user_vring *vring = &vu->vrings[i];

		*vring = (struct vhost_user_vring){ .vu = vu, .index = i, .kick_fd = -1 };
		vhost_user_signal_init(&vring->call);
		vhost_user_signal_init(&vring->err);
	}
	return 0;
}

void vhost_user_transport_exit(struct vhost_user_device *vu)
{
	for (uint32_t i = 0; i < vu->device->limits.queues; i++) {
		vhost_user_close_kick(&vu->vrings[i]);
		vhost_user_signal_close(&vu->vrings[i].call);
		vhost_user_signal_close(&vu->vrings[i].err);
	}
	free(vu->vrings);
	vu->vrings = NULL;
}
