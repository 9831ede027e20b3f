// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/front_end.h"
#include "disk_ops.h"
#include "log.h"
#include "store/identity.h"
#include "store/store_type.h"

/*
 * With virtio-vdpa the kernel copies each indirect table to the bounce buffer: 5 % of all
 * instructions of a 4 KiB read. Without indirect tables a ring of 1024 descriptors can hold 341
 * requests of 4 KiB, or 4 requests of 1 MiB in single pages. A smaller ring could hold too few.
 */
static bool wants_indirect(const struct device_config *config)
{
	if (config->indirect == SWITCH_AUTO)
		return !front_end_of(config->driver)->bounce_buffer ||
		       config_queue_size(config) < 1024;
	return config->indirect == SWITCH_YES;
}

static int set_discard_limits(const struct device_config *config,
			      const struct backend_limits *store, struct blk_limits *limits)
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

const struct disk_ops *disk_ops_of(const struct device_config *config)
{
	return front_end_of(config->driver)->vdpa ? &vdpa_disk_ops : &vhost_user_disk_ops;
}

int device_set_limits(struct device *device)
{
	const struct device_config *config = device->config;
	const struct backend_limits *store = &device->backend->limits;
	char serial[VIRTIO_BLK_ID_BYTES + 1];

	device->limits = (struct blk_limits){
		.size = store->size,
		.logical_block = store->logical_block,
		.physical_block = store->physical_block,
		.alignment_offset = store->alignment_offset,
		.io_min = store->io_min,
		.io_opt = store->io_opt,
		.queues = config_queue_count(config),
		.queue_size = config_queue_size(config),
		.indirect = wants_indirect(config),
		.readonly = config->readonly,
		.flush = store->volatile_cache,
	};
	if (disk_ops_of(config)->set_limits)
		disk_ops_of(config)->set_limits(&device->limits);
	config_serial(config, serial);
	memcpy(device->limits.serial, serial, strlen(serial));
	return set_discard_limits(config, store, &device->limits);
}

void device_identity(const struct device *device, struct disk_identity *out)
{
	const struct blk_limits *l = &device->limits;

	*out = (struct disk_identity){
		.offset = device->backend->offset,
		.size = l->size,
		.block = l->logical_block,
	};
	strcpy(out->store, device->backend->identity);
	memcpy(out->serial, l->serial, sizeof(l->serial));
}

void device_inflight_params(const struct device *device, const char *runtime_dir,
			    char identity[INFLIGHT_IDENTITY_MAX], struct inflight_params *params)
{
	struct disk_identity disk;

	*params = (struct inflight_params){
		.directory = runtime_dir,
		.name = device->config->name,
		.features = virtio_blk_features(&device->limits),
		.vq_num = device->limits.queues,
		.vq_size = device->limits.queue_size,
		.identity = identity,
	};
	device_identity(device, &disk);
	identity_print(&disk, identity);
}

int device_open_store(struct device *device, const struct device_config *config,
		      const char *runtime_dir)
{
	int err;

	device->config = config;
	err = disk_ops_of(config)->open(device, runtime_dir);
	if (err)
		return err;
	err = device_set_limits(device);
	if (!err)
		err = disk_ops_of(config)->check(device, runtime_dir);
	if (err)
		device_close_store(device);
	return err;
}

int device_create(struct device *device, const char *runtime_dir, struct ring *ring,
		  struct worker *workers, unsigned int worker_count, unsigned int *next_worker)
{
	const struct disk_ops *ops = disk_ops_of(device->config);
	int err;

	*device = (struct device){
		.config = device->config,
		.backend = device->backend,
		.limits = device->limits,
		.umem = device->umem,
		.connection = device->connection,
		.ring = ring,
	};
	/* A new device has the limits of its section and store, not those of an inflight log. */
	if (!ops->has_driver(device->config) && device_set_limits(device))
		return -EINVAL;
	err = device_make(device);
	if (err)
		return err;
	err = ops->open_inflight(device, runtime_dir);
	if (err)
		goto unmake;
	err = device_serve(device, workers, worker_count, next_worker);
	if (!err)
		return 0;

	if (device->inflight)
		inflight_close(device->inflight, !device_adopted(device));
	device->inflight = NULL;
unmake:
	device_unmake(device);
	return err;
}

/* Examines the store, and continues with @check. */
static int examine(const struct device_config *config, const char *runtime_dir,
		   int (*check)(struct device *device, const char *runtime_dir))
{
	bool try_lock = disk_ops_of(config)->may_lock(config);
	struct backend backend = { 0 };
	struct device device = { .config = config, .backend = &backend };
	int err;

	err = store_type_of(config)->examine(config, try_lock, &backend);
	if (!err)
		err = device_set_limits(&device);
	return err ? err : check(&device, runtime_dir);
}

int device_examine(const struct device_config *config, const char *runtime_dir)
{
	return examine(config, runtime_dir, disk_ops_of(config)->check_takeover);
}

int device_check_store(const struct device_config *config, const char *runtime_dir)
{
	return examine(config, runtime_dir, disk_ops_of(config)->check_stores);
}

void device_close_store(struct device *device)
{
	if (device->backend)
		backend_close(device->backend);
	device->backend = NULL;
}
