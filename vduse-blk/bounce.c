// SPDX-License-Identifier: GPL-2.0-or-later
#include "bounce.h"

#include <unistd.h>

#include "umem.h"
#include "vduse_dev.h"

#define UMEM_MEMORY_SHARE    16 /* umem = auto: of the machine's memory, at most a sixteenth */
#define VDUSE_BOUNCE_DEFAULT (64u << 20) /* drivers/vdpa/vdpa_user/vduse_dev.c */

static bool may_be_ours(const struct device_config *device)
{
	return device->driver == VDPA_DRIVER_VIRTIO && device->umem != SWITCH_NO && !device->rescue;
}

static uint64_t bounce_size(const struct device_config *device)
{
	return device->bounce_size ? device->bounce_size : VDUSE_BOUNCE_DEFAULT;
}

static bool ours_by_default(const struct config *config)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t bounce = 0;

	for (size_t i = 0; i < config->device_count; i++)
		if (may_be_ours(&config->devices[i]))
			bounce += bounce_size(&config->devices[i]);
	return bounce <= memory / UMEM_MEMORY_SHARE;
}

bool bounce_is_ours(const struct config *config, const struct device_config *device)
{
	return may_be_ours(device) && (device->umem == SWITCH_YES || ours_by_default(config));
}

void bounce_reserve(const struct config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		if (bounce_is_ours(config, device) && vduse_dev_exists(device->name))
			umem_reserve(bounce_size(device));
	}
}
