// SPDX-License-Identifier: GPL-2.0-or-later
/* The limits of a disk, from its store and section; comparison with the device in the kernel. */
#include "disk_device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "config/front_end.h"
#include "control/ownership.h"
#include "frontend/vhost_user_device.h"
#include "log.h"
#include "orphans.h"
#include "store/closed_store.h"
#include "store/identity.h"
#include "store/store_type.h"
#include "vdpa_bus.h"

/* The time limit for I/O of a killed server to end, for a device that is to be adopted. */
#define STORE_WAIT_MS 30000

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

/*
 * A VMM makes the queues, often with 128 descriptors, and a chain of a driver without indirect
 * descriptors must fit into its queue. The VMM may switch the write cache off; VDUSE cannot pass that
 * on.
 */
static void set_vhost_user_limits(struct blk_limits *limits)
{
	limits->seg_max = MIN(limits->queue_size, 128) - 2u;
	limits->guest_physical = true;
	limits->config_wce = true;
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
	if (!front_end_of(config->driver)->vdpa)
		set_vhost_user_limits(&device->limits);
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

int device_open_inflight(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;

	device_inflight_params(device, runtime_dir, identity, &params);
	if (device->config->rescue && !inflight_open_any(&params, &device->inflight)) {
		device->limits.queue_size = params.vq_size;
		return 0;
	}
	if (device->config->rescue || !device_adopted(device))
		return inflight_create(&params, &device->inflight);
	return adopt_inflight(device, runtime_dir, false, &device->inflight);
}

/* A vhost-user disk locks its store while a front end uses it, and then no other server may look. */
static bool may_lock(const struct device_config *config)
{
	return front_end_of(config->driver)->vdpa && !vduse_dev_exists(config->name);
}

/* An attached device can only be adopted unchanged. Checks that before anything is changed. */
static int compare_with_kernel(struct device *device, const char *runtime_dir, bool log_growth)
{
	const struct device_config *config = device->config;
	struct inflight *log;
	enum vdpa_driver bus_driver;
	int err;

	if (config->rescue)
		return 0;
	if (!front_end_of(config->driver)->vdpa)
		return orphans_check(device, runtime_dir);
	if (vdpa_bus_state(config->name) == VDPA_ABSENT)
		return orphans_check(device, runtime_dir);
	if (!vdpa_bus_driver(config->name, &bus_driver) &&
	    bus_driver != front_end_of(config->driver)->bus_driver) {
		log_err("%s: is attached with driver = %s, and driver was changed to %s; restore it "
			"until the disk is detached",
			config->name, front_end_on_bus(bus_driver)->name,
			front_end_of(config->driver)->name);
		return -EBUSY;
	}
	err = adopt_inflight(device, runtime_dir, log_growth, &log);
	if (!err)
		inflight_close(log, false);
	return err;
}

/* Its store is opened when a front end starts its rings (vhost_user_store.c). */
static int open_vhost_user(struct device *device, const char *runtime_dir)
{
	const struct device_config *config = device->config;
	int err = ownership_wait_name(config->name, runtime_dir);

	return err ? err : closed_store_new(config, &device->backend);
}

static int open_vduse(struct device *device, const char *runtime_dir)
{
	const struct device_config *config = device->config;
	unsigned int wait_ms = 0;
	int err = 0;

	if (vduse_dev_exists(config->name)) {
		err = ownership_wait(config->name, runtime_dir);
		wait_ms = STORE_WAIT_MS;
	}
	return err ? err : store_type_of(config)->open(config, wait_ms, &device->backend);
}

int device_open_store(struct device *device, const struct device_config *config,
		      const char *runtime_dir)
{
	int err;

	device->config = config;
	if (front_end_of(config->driver)->vdpa)
		err = open_vduse(device, runtime_dir);
	else
		err = open_vhost_user(device, runtime_dir);
	if (err)
		return err;
	err = device_set_limits(device);
	if (!err)
		err = compare_with_kernel(device, runtime_dir, true);
	if (err)
		device_close_store(device);
	return err;
}

/* A server that was killed has left it, and its front end is gone, or will connect again. */
static void remove_old_offer(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;

	device_inflight_params(device, runtime_dir, identity, &params);
	if (!inflight_create(&params, &device->offer))
		inflight_close(device->offer, true);
	device->offer = NULL;
}

void device_note_offer(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;

	if (device->offer)
		inflight_close(device->offer, true);
	device->offer = NULL;
	if (!vhost_user_front_end(device))
		return;
	device_inflight_params(device, runtime_dir, identity, &params);
	if (inflight_create(&params, &device->offer))
		device->offer = NULL; /* logged; a takeover does not compare then */
}

static bool is_on_bus(const struct device_config *config)
{
	return front_end_of(config->driver)->vdpa && vdpa_bus_state(config->name) != VDPA_ABSENT;
}

int device_create(struct device *device, const char *runtime_dir, struct ring *ring,
		  struct worker *workers, unsigned int worker_count, unsigned int *next_worker)
{
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
	if (!is_on_bus(device->config) && device_set_limits(device))
		return -EINVAL;
	err = device_make(device);
	if (err)
		return err;
	/* With vhost-user the front end keeps the inflight log. */
	if (front_end_of(device->config->driver)->vdpa)
		err = device_open_inflight(device, runtime_dir);
	else
		remove_old_offer(device, runtime_dir);
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

static int examine_store(struct device *device, bool try_lock)
{
	const struct device_config *config = device->config;
	int err = store_type_of(config)->examine(config, try_lock, device->backend);

	return err ? err : device_set_limits(device);
}

/* A front end that is connected to the old server will connect to this one. */
static int compare_with_offer(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX], why[INFLIGHT_WHY_MAX];
	struct inflight_params was = { .directory = runtime_dir, .name = device->config->name };
	struct inflight *offer;
	int err;

	if (front_end_of(device->config->driver)->vdpa || inflight_peek(&was, identity, why))
		return 0;
	err = adopt_inflight(device, runtime_dir, false, &offer);
	if (!err)
		inflight_close(offer, false);
	return err;
}

int device_examine(const struct device_config *config, const char *runtime_dir)
{
	struct backend backend = { 0 };
	struct device device = { .config = config, .backend = &backend };
	int err;

	err = examine_store(&device, may_lock(config));
	if (!err)
		err = compare_with_kernel(&device, runtime_dir, false);
	return err ? err : compare_with_offer(&device, runtime_dir);
}

int device_check_store(const struct device_config *config, const char *runtime_dir)
{
	struct backend backend = { 0 };
	struct device device = { .config = config, .backend = &backend };
	bool vdpa = front_end_of(config->driver)->vdpa;
	int err;

	err = examine_store(&device, may_lock(config));
	if (!err && (!vdpa || !vduse_dev_exists(config->name)))
		err = orphans_check(&device, runtime_dir);
	return err;
}

void device_close_store(struct device *device)
{
	if (device->backend)
		backend_close(device->backend);
	device->backend = NULL;
}
