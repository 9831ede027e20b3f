// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config/front_end.h"
#include "irq_cpu.h"
#include "log.h"

struct vduse_transport_queue {
	int kick_fd;
	int irq_cpu; /* from irq_cpu_take(); used by the queue's worker only */
};

static struct vduse_transport *vduse_of(struct transport *transport)
{
	return container_of(transport, struct vduse_transport, transport);
}

static int get_rings(struct transport *transport, uint32_t queue, struct transport_rings *out)
{
	struct vduse_vq_info info;
	int err = vduse_dev_vq_info(vduse_of(transport)->dev, queue, &info);

	if (err)
		return err;
	*out = (struct transport_rings){
		.ready = info.ready,
		.size = info.num,
		.desc = info.desc_addr,
		.driver = info.driver_addr,
		.device = info.device_addr,
		.next_avail = info.split.avail_index,
	};
	return 0;
}

/* A reset removes the eventfd in the kernel, so each start sets it again. */
static int set_kick(struct transport *transport, uint32_t queue)
{
	struct vduse_transport *vduse = vduse_of(transport);
	int fd = vduse->queues[queue].kick_fd;
	int err = vduse_dev_vq_kickfd(vduse->dev, queue, fd);

	return err ? err : fd;
}

/* The kernel stores DRIVER_OK after it took our reply; until then it refuses interrupts. */
static int interrupt(struct transport *transport, uint32_t queue, bool adopted)
{
	struct vduse_dev *dev = vduse_of(transport)->dev;
	int err = adopted ? vduse_dev_vq_irq_checked(dev, queue) : vduse_dev_vq_irq(dev, queue);

	return unlikely(err == -EINVAL) ? -EAGAIN : err;
}

static void set_running(struct transport *transport, uint32_t queue, bool running)
{
	struct vduse_transport *vduse = vduse_of(transport);
	int *cpu = &vduse->queues[queue].irq_cpu;

	if (running && vduse->chooses_irq_cpu) {
		*cpu = irq_cpu_take(vduse->dev, queue);
	} else {
		irq_cpu_give_back(*cpu);
		*cpu = -1;
	}
}

static int get_buffer(struct transport *transport, void **addr, size_t *size)
{
	return vduse_dev_umem(vduse_of(transport)->dev, addr, size);
}

static const struct transport_ops ops = {
	.rings = get_rings,
	.kick = set_kick,
	.interrupt = interrupt,
	.running = set_running,
	.buffer = get_buffer,
};

int vduse_transport_init(struct vduse_transport *vduse, struct vduse_dev *dev,
			 const struct device_config *config, uint32_t queue_count, bool umem)
{
	const struct front_end *front_end = front_end_of(config->driver);
	int err;

	*vduse = (struct vduse_transport){
		.transport = {
			.ops = &ops,
			.iotlb = vduse_dev_iotlb(dev),
			.has_buffer = umem,
			.unmapped_hint = front_end->guest_memory
					 ? " (is the virtual machine's memory shared?)"
					 : "",
		},
		.dev = dev,
		.chooses_irq_cpu = front_end->block_node,
	};
	vduse->queues = calloc(queue_count, sizeof(*vduse->queues));
	if (!vduse->queues)
		return -ENOMEM;
	for (; vduse->queue_count < queue_count; vduse->queue_count++) {
		struct vduse_transport_queue *queue = &vduse->queues[vduse->queue_count];

		queue->irq_cpu = -1;
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->kick_fd >= 0)
			continue;
		err = -errno;
		log_err("%s: queue %u: cannot create an eventfd: %s", config->name,
			vduse->queue_count, strerror(-err));
		vduse_transport_exit(vduse);
		return err;
	}
	return 0;
}

void vduse_transport_exit(struct vduse_transport *vduse)
{
	for (uint32_t i = 0; i < vduse->queue_count; i++)
		close(vduse->queues[i].kick_fd);
	free(vduse->queues);
	*vduse = (struct vduse_transport){ .queue_count = 0 };
}
