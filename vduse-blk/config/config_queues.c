// SPDX-License-Identifier: GPL-2.0-or-later
/* The number and size of a device's queues. */
#include <unistd.h>

#include "config.h"

uint16_t config_queue_count(const struct device_config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->queues)
		return (uint16_t)config->queues;
	return (uint16_t)(cpus < 1 ? 1 : MIN(cpus, 256));
}

/*
 * QEMU 10.0 gives its guests rings of 1024 on vhost-vdpa, whatever the device's maximum is, and Linux
 * since 6.12.115 and 7.3 refuses more than the device's maximum.
 */
uint16_t config_queue_size(const struct device_config *config)
{
	return (uint16_t)(config->queue_size ? config->queue_size : 1024);
}
