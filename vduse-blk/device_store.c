// SPDX-License-Identifier: GPL-2.0-or-later
/* What the driver will see, from a store and a configuration. */
#include "device.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "served.h"

/* How long the I/O of a killed server may take to end, where there is a device to adopt. */
#define STORE_WAIT_MS 30000

uint16_t device_queue_count(const struct device_config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->queues)
		return (uint16_t)config->queues;
	return (uint16_t)(cpus < 1 ? 1 : MIN(cpus, 256));
}

/*
 * QEMU (seen: 10.0) gives its guests rings of 1024 on vhost-vdpa, whatever the device says, and Linux
 * refuses more than the device's maximum since 6.12.115 and 7.3.
 */
static uint16_t queue_size(const struct device_config *config)
{
	return (uint16_t)(config->queue_size ? config->queue_size : 1024);
}

/*
 * For virtio-vdpa a table of descriptors is one more piece of memory that the kernel bounces with
 * each request: 5 % of all instructions of a 4 KiB read. Without them a ring of 1024 still has
 * 341 such requests, or 4 of 1 MiB in pages; smaller ones would have too few.
 */
static bool wants_indirect(const struct device_config *config)
{
	if (config->indirect == SWITCH_AUTO)
		return config->driver == VDPA_DRIVER_VHOST || queue_size(config) < 1024;
	return config->indirect == SWITCH_YES;
}

static int settle_discard(const struct device_config *config, const struct backend_limits *store,
			  struct blk_limits *limits)
{
	if (config->discard == SWITCH_YES && !store->discard_max) {
		log_err("%s: discard = yes, but %s cannot discard; accepted are auto and no",
			config->name, config->path);
		return -EINVAL;
	}
	limits->discard = config->discard != SWITCH_NO && store->discard_max && !config->readonly;
	limits->discard_granularity = store->discard_granularity;
	limits->discard_max = store->discard_max;
	limits->write_zeroes = config->write_zeroes != SWITCH_NO && !config->readonly;
	limits->zeroes_max = store->zeroes_max;
	return 0;
}

static int settle_limits(struct device *device)
{
	const struct device_config *config = device->config;
	const struct backend_limits *store = &device->backend->limits;
	const char *serial = config->serial[0] ? config->serial : config->name;

	device->limits = (struct blk_limits){
		.size = store->size,
		.logical_block = store->logical_block,
		.physical_block = store->physical_block,
		.alignment_offset = store->alignment_offset,
		.io_min = store->io_min,
		.io_opt = store->io_opt,
		.queues = device_queue_count(config),
		.queue_size = queue_size(config),
		.indirect = wants_indirect(config),
		.readonly = config->readonly,
		.flush = store->volatile_cache,
	};
	memcpy(device->limits.serial, serial, MIN(strlen(serial), sizeof(device->limits.serial)));
	return settle_discard(config, store, &device->limits);
}

int device_open_store(struct device *device, const struct device_config *config,
		      const char *runtime_dir)
{
	unsigned int wait_ms = 0;
	int err;

	device->config = config;
	if (vduse_dev_exists(config->name)) {
		err = served_wait(config->name, runtime_dir);
		if (err)
			return err;
		wait_ms = STORE_WAIT_MS;
	}
	if (config->rescue)
		err = backend_error_open(&device->backend);
	else
		err = backend_file_open(config, wait_ms, &device->backend);
	if (err)
		return err;
	err = settle_limits(device);
	if (err)
		device_close_store(device);
	return err;
}

void device_close_store(struct device *device)
{
	if (device->backend)
		backend_close(device->backend);
	device->backend = NULL;
}
