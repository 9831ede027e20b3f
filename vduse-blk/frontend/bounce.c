// SPDX-License-Identifier: GPL-2.0-or-later
#include "bounce.h"

#include <unistd.h>

#include "config/front_end.h"
#include "device.h"
#include "umem.h"
#include "vduse_dev.h"

/* umem = auto: UMEM while the bounce buffers of all disks take at most 1/16 of the memory. */
#define UMEM_MEMORY_SHARE 16

/*
 * Bytes of the bounce buffer for each descriptor. Linux has at most one request in flight for two
 * descriptors. A small request takes up to four pages (header, table, data, status).
 */
#define BOUNCE_PER_DESCRIPTOR (4 * 4096 / 2)

static bool may_use_umem(const struct device_config *device)
{
	return front_end_of(device->driver)->bounce_buffer && device->umem != SWITCH_NO &&
	       !device->rescue;
}

uint64_t bounce_size(const struct device_config *device)
{
	uint64_t wanted = (uint64_t)config_queue_count(device) * config_queue_size(device) *
			  BOUNCE_PER_DESCRIPTOR;

	if (!front_end_of(device->driver)->bounce_buffer)
		return 0;
	if (device->bounce_size)
		return device->bounce_size;
	return MIN(MAX(wanted, VDUSE_BOUNCE_DEFAULT), VDUSE_BOUNCE_MAX);
}

static bool umem_by_default(const struct config *config)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t bounce = 0;

	for (size_t i = 0; i < config->device_count; i++)
		if (may_use_umem(&config->devices[i]))
			bounce += bounce_size(&config->devices[i]);
	return bounce <= memory / UMEM_MEMORY_SHARE;
}

bool bounce_wants_umem(const struct config *config, const struct device_config *device)
{
	return may_use_umem(device) && (device->umem == SWITCH_YES || umem_by_default(config));
}

void bounce_reserve(const struct config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		if (bounce_wants_umem(config, device) && vduse_dev_exists(device->name))
			umem_reserve(bounce_size(device));
	}
}
