// SPDX-License-Identifier: GPL-2.0-or-later
#include "device.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "messages.h"

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

int device_open_store(struct device *device, const struct device_config *config)
{
	unsigned int wait_ms = 0;
	int err;

	device->config = config;
	if (vduse_dev_exists(config->name)) {
		err = vduse_dev_wait_unserved(config->name);
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

static void recall_flush(struct device *device)
{
	for (uint32_t i = 0; i < device->limits.queues; i++)
		if (inflight_vq(device->inflight, i)->marked)
			device->flush_failed = true;
}

static int create_queues(struct device *device, struct worker *workers, unsigned int worker_count,
			 unsigned int *next_worker)
{
	uint32_t i;
	int err;

	device->queues = calloc(device->limits.queues, sizeof(*device->queues));
	if (!device->queues)
		return -ENOMEM;
	for (i = 0; i < device->limits.queues; i++) {
		struct worker *worker = &workers[(*next_worker)++ % worker_count];

		err = queue_init(&device->queues[i], device, i, worker);
		if (err)
			goto exit_queues;
	}
	return 0;

exit_queues:
	log_err("%s: queue %u: %s", device->config->name, i, strerror(-err));
	while (i--)
		queue_exit(&device->queues[i]);
	free(device->queues);
	return err;
}

static void queues_paused(struct device *device);

static void recovered(struct device *device)
{
	if (device->closed)
		device_command_all(device, QUEUE_PAUSE, 0, queues_paused);
	else
		device_serve_messages(device);
}

/* An adopted device whose driver runs: on with it, before any message, which may be a reset. */
static void recover(struct device *device)
{
	uint64_t features = 0;
	const char *wrong = device_check_features(device, &features);

	if (wrong) {
		log_err("%s: cannot go on serving the driver: %s", device->config->name, wrong);
		device_serve_messages(device);
		return;
	}
	device->status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	device_command_all(device, QUEUE_RECOVER, features, recovered);
}

static void queues_added(struct device *device)
{
	if (device->closed)
		device_command_all(device, QUEUE_PAUSE, 0, queues_paused);
	else if (vduse_dev_adopted(device->dev) && vduse_dev_running(device->dev))
		recover(device);
	else
		device_serve_messages(device);
}

static void describe(const struct device *device, char text[INFLIGHT_IDENTITY_MAX])
{
	const struct blk_limits *l = &device->limits;

	snprintf(text, INFLIGHT_IDENTITY_MAX, "%s, %" PRIu64 " bytes in blocks of %u, serial %.*s",
		 device->backend->identity, l->size, l->logical_block, (int)sizeof(l->serial),
		 l->serial);
}

static int open_record(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX], why[INFLIGHT_WHY_MAX] = "";
	struct inflight_params params = {
		.directory = runtime_dir,
		.name = device->config->name,
		.features = virtio_blk_features(&device->limits),
		.vq_num = device->limits.queues,
		.vq_size = device->limits.queue_size,
		.identity = identity,
	};
	int err;

	describe(device, identity);
	if (device->config->rescue && !inflight_open_any(&params, &device->inflight)) {
		device->limits.queue_size = params.vq_size;
		return 0;
	}
	if (device->config->rescue || !vduse_dev_adopted(device->dev))
		return inflight_create(&params, &device->inflight);

	err = inflight_open(&params, &device->inflight, why);
	if (err)
		log_err("%s: exists in the kernel, but cannot be gone on with: %s/%s.inflight: %s%s",
			device->config->name, runtime_dir, device->config->name,
			err == -EINVAL ? why : strerror(-err),
			err == -ENOENT ? "; 'vduse-blk rescue' ends what waits for it" : "");
	return err;
}

static int create_in_kernel(struct device *device)
{
	const struct device_config *config = device->config;
	struct virtio_blk_config space;
	struct vduse_dev_params params = {
		.name = config->name,
		.device_id = VIRTIO_ID_BLOCK,
		.features = virtio_blk_features(&device->limits),
		.vq_num = device->limits.queues,
		.vq_size = device->limits.queue_size,
		.config = &space,
		.config_size = sizeof(space),
		.bounce_size = config->bounce_size,
		.umem = device->umem,
	};

	virtio_blk_config(&device->limits, &space);
	return vduse_dev_new(&params, &device->dev);
}

int device_destroy(struct device *device)
{
	int err = vduse_dev_free(device->dev);

	device->dev = NULL;
	inflight_close(device->inflight, !err);
	device->inflight = NULL;
	return err;
}

void device_abandon(struct device *device)
{
	vduse_dev_abandon(device->dev);
	device->dev = NULL;
	inflight_close(device->inflight, false);
	device->inflight = NULL;
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
		.ring = ring,
	};
	err = create_in_kernel(device);
	if (err)
		return err;
	err = open_record(device, runtime_dir);
	if (err)
		goto give_up_device;
	recall_flush(device);
	err = create_queues(device, workers, worker_count, next_worker);
	if (err)
		goto close_record;
	device_command_all(device, QUEUE_ADD, 0, queues_added);
	return 0;

close_record:
	inflight_close(device->inflight, !vduse_dev_adopted(device->dev));
	device->inflight = NULL;
give_up_device:
	if (vduse_dev_adopted(device->dev))
		vduse_dev_abandon(device->dev);
	else
		vduse_dev_free(device->dev);
	device->dev = NULL;
	return err;
}

static void queues_removed(struct device *device)
{
	for (uint32_t i = 0; i < device->limits.queues; i++)
		queue_exit(&device->queues[i]);
	free(device->queues);
	device->queues = NULL;
	device->gone = true;
	if (device->stall.active)
		ring_timer_hurry(device->ring, &device->stall); /* which goes on */
	else
		device->closed(device);
}

static void queues_paused(struct device *device)
{
	iotlb_drop(vduse_dev_iotlb(device->dev), 0, UINT64_MAX);
	device_command_all(device, QUEUE_REMOVE, 0, queues_removed);
}

/* Not STOP: where the driver still runs, the record must say so to the next server. */
void device_close_queues(struct device *device)
{
	device_command_all(device, QUEUE_PAUSE, 0, queues_paused);
}

static void messages_stopped(struct ring_poll *poll)
{
	struct device *device = container_of(poll, struct device, messages);

	device->deaf = true;
	if (!device->answering)
		device_close_queues(device);
	/* else a command is under way, and answered() goes on */
}

void device_close(struct device *device, void (*closed)(struct device *device))
{
	device->closed = closed;
	if (device->messages.ring)
		ring_poll_stop(&device->messages, messages_stopped);
	/* else the queues are being added still, and queues_added() goes on */
}
