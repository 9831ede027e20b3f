// SPDX-License-Identifier: GPL-2.0-or-later
#include "front_end.h"

const struct front_end front_ends[] = {
	[VDPA_DRIVER_VIRTIO] = {
		.name = "virtio-vdpa",
		.client = "virtio_blk",
		.client_path = "/sys/bus/virtio/drivers/virtio_blk",
		.block_node = true,
		.bounce_buffer = true,
	},
	[VDPA_DRIVER_VHOST] = {
		.name = "vhost-vdpa",
		.guest_memory = true,
	},
};
