// SPDX-License-Identifier: GPL-2.0-or-later
#include "device.h"

#include <errno.h>

#include "config/front_end.h"
#include "vhost_user_device.h"

int device_make(struct device *device)
{
	const struct device_ops *ops = &vduse_device_ops;
	int err;

	if (!front_end_of(device->config->driver)->vdpa)
		ops = &vhost_user_device_ops;
	err = ops->make(device);

	device->ops = err ? NULL : ops;
	return err;
}

void device_unmake(struct device *device)
{
	device->ops->unmake(device);
	device->ops = NULL;
}

bool device_adopted(const struct device *device)
{
	return device->ops && device->ops->adopted(device);
}

static int create_queues(struct device *device, struct worker *workers, unsigned int worker_count,
			 unsigned int *next_worker)
{
	const struct device_config *config = device->config;
	int err;

	device->queues.disk = (struct queue_disk){
		.name = config->name,
		.transport = device->ops->open_transport(device),
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
	if (!device->queues.disk.transport)
		return -EMFILE;
	err = queues_init(&device->queues, device->limits.queues, workers, worker_count,
			  next_worker);
	if (err)
		device->ops->close_transport(device);
	return err;
}

static void queues_added(struct queues *queues)
{
	struct device *device = device_of_queues(queues);

	if (device->closed)
		device_close_queues(device);
	else
		device->ops->begin(device);
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
	struct device *device = device_of_queues(queues);

	queues_exit(queues);
	device->ops->close_transport(device);
	if (device->ops->queues_removed)
		device->ops->queues_removed(device);
	else
		device->closed(device);
}

static void queues_paused(struct queues *queues)
{
	iotlb_drop(queues->disk.transport->iotlb, 0, UINT64_MAX);
	queues_command(queues, QUEUE_REMOVE, 0, queues_removed);
}

/* Not STOP: the inflight log must show the next server that the driver runs. */
void device_close_queues(struct device *device)
{
	queues_command(&device->queues, QUEUE_PAUSE, 0, queues_paused);
}

void device_close(struct device *device, void (*closed)(struct device *device))
{
	device->closed = closed;
	device->ops->stop(device); /* or queues_added() removes the queues */
}

int device_destroy(struct device *device)
{
	int err = device->ops->destroy(device);

	if (device->inflight)
		inflight_close(device->inflight, !err);
	device->inflight = NULL;
	device->ops = NULL;
	return err;
}

void device_abandon(struct device *device)
{
	device->ops->abandon(device);
	if (device->inflight)
		inflight_close(device->inflight, false);
	device->inflight = NULL;
	device->ops = NULL;
}
