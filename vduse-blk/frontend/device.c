// SPDX-License-Identifier: GPL-2.0-or-later
#include "device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounce.h"
#include "log.h"
#include "vduse_messages.h"

static struct device *device_of(struct queues *queues)
{
	return container_of(queues, struct device, queues);
}

static int create_queues(struct device *device, struct worker *workers, unsigned int worker_count,
			 unsigned int *next_worker)
{
	const struct device_config *config = device->config;
	uint32_t count = device->limits.queues;
	int err =
		vduse_transport_init(&device->transport, device->dev, config, count, device->umem);

	if (err)
		return err;
	device->queues.disk = (struct queue_disk){
		.name = config->name,
		.transport = &device->transport.transport,
		.backend = device->backend,
		.limits = &device->limits,
		.inflight = device->inflight,
		.main_ring = device->ring,
		.poll_us = config->poll_us,
		.retry_s = config->on_error,
		.iopoll = config->iopoll,
		.pin_guest_memory = config->pin_guest_memory,
		.recover_blind = config->rescue,
	};
	err = queues_init(&device->queues, count, workers, worker_count, next_worker);
	if (err)
		vduse_transport_exit(&device->transport);
	return err;
}

static void queues_paused(struct queues *queues);

static void recovered(struct queues *queues)
{
	struct device *device = device_of(queues);

	if (device->closed)
		queues_command(&device->queues, QUEUE_PAUSE, 0, queues_paused);
	else
		device_serve_messages(device);
}

/* The driver of an adopted device runs: adopt its queues before a message, which may be a reset. */
static void recover(struct device *device)
{
	uint64_t features = 0;
	const char *wrong = device_check_features(device, &features);

	if (wrong) {
		log_err("%s: cannot serve the adopted driver until driver reset: %s",
			device->config->name, wrong);
		device_serve_messages(device);
		return;
	}
	device->status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	queues_command(&device->queues, QUEUE_RECOVER, features, recovered);
}

static void queues_added(struct queues *queues)
{
	struct device *device = device_of(queues);

	if (device->closed)
		queues_command(&device->queues, QUEUE_PAUSE, 0, queues_paused);
	else if (vduse_dev_adopted(device->dev) && vduse_dev_running(device->dev))
		recover(device);
	else
		device_serve_messages(device);
}

int device_make(struct device *device)
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
		.bounce_size = bounce_size(config),
		.umem = device->umem,
	};

	virtio_blk_config(&device->limits, &space);
	return vduse_dev_new(&params, &device->dev);
}

void device_unmake(struct device *device)
{
	if (vduse_dev_adopted(device->dev))
		vduse_dev_abandon(device->dev);
	else
		vduse_dev_free(device->dev);
	device->dev = NULL;
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

int device_serve(struct device *device, struct worker *workers, unsigned int worker_count,
		 unsigned int *next_worker)
{
	int err = create_queues(device, workers, worker_count, next_worker);

	if (!err)
		queues_command(&device->queues, QUEUE_ADD, 0, queues_added);
	return err;
}

static void queues_removed(struct queues *queues)
{
	struct device *device = device_of(queues);

	queues_exit(queues);
	vduse_transport_exit(&device->transport);
	device->queues_gone = true;
	if (device->stall.active)
		ring_timer_hurry(device->ring, &device->stall); /* stall_expired() calls closed() */
	else
		device->closed(device);
}

static void queues_paused(struct queues *queues)
{
	struct device *device = device_of(queues);

	iotlb_drop(vduse_dev_iotlb(device->dev), 0, UINT64_MAX);
	queues_command(&device->queues, QUEUE_REMOVE, 0, queues_removed);
}

/* Not STOP: the inflight log must show the next server that the driver runs. */
void device_close_queues(struct device *device)
{
	queues_command(&device->queues, QUEUE_PAUSE, 0, queues_paused);
}

static void messages_stopped(struct ring_poll *poll)
{
	struct device *device = container_of(poll, struct device, messages);

	device->receive_stopped = true;
	if (!device->message_pending)
		device_close_queues(device);
	/* else message_done() closes them when the reply was sent */
}

void device_close(struct device *device, void (*closed)(struct device *device))
{
	device->closed = closed;
	if (device->messages.ring)
		ring_poll_stop(&device->messages, messages_stopped);
	/* else queues_added() or recovered() removes the queues */
}
