// SPDX-License-Identifier: GPL-2.0-or-later
#include "front_end.h"

const struct front_end front_ends[] = {
	[DRIVER_VIRTIO_VDPA] = {
		.name = "virtio-vdpa",
		.client = "virtio_blk",
		.client_path = "/sys/bus/virtio/drivers/virtio_blk",
		.vdpa = true,
		.bus_driver = VDPA_DRIVER_VIRTIO,
		.block_node = true,
		.bounce_buffer = true,
	},
	[DRIVER_VHOST_VDPA] = {
		.name = "vhost-vdpa",
		.vdpa = true,
		.bus_driver = VDPA_DRIVER_VHOST,
		.guest_memory = true,
	},
	[DRIVER_VHOST_USER] = {
		.name = "vhost-user",
		.guest_memory = true,
	},
};
