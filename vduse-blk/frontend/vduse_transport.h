/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transport of a VDUSE device (queue/transport.h). */
#ifndef VDUSE_BLK_VDUSE_TRANSPORT_H
#define VDUSE_BLK_VDUSE_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "config/config.h"
#include "queue/transport.h"
#include "vduse_dev.h"

struct vduse_transport_queue;

struct vduse_transport {
	struct transport transport;
	struct vduse_dev *dev;
	bool chooses_irq_cpu; /* irq_cpu.h */
	uint32_t queue_count;
	struct vduse_transport_queue *queues;
};

/**
 * vduse_transport_init() - for a device with @queue_count queues
 * @umem: the bounce buffer is to be UMEM
 *
 * Creates the eventfds for kicks. @dev must outlive it. Return: 0; -errno, logged
 */
int __must_check vduse_transport_init(struct vduse_transport *vduse, struct vduse_dev *dev,
				      const struct device_config *config, uint32_t queue_count,
				      bool umem);

/** vduse_transport_exit() - call it after QUEUE_REMOVE of all queues */
void vduse_transport_exit(struct vduse_transport *vduse);

#endif
