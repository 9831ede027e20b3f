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

static void recovered(struct queues *queues)
{
	struct device *device = device_of_queues(queues);

	if (device->closed)
		device_close_queues(device);
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
	device->vduse.status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			       VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	queues_command(&device->queues, QUEUE_RECOVER, features, recovered);
}

static void vduse_begin(struct device *device)
{
	if (vduse_dev_adopted(device->vduse.dev) && vduse_dev_running(device->vduse.dev))
		recover(device);
	else
		device_serve_messages(device);
}

static int vduse_make(struct device *device)
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
	return vduse_dev_new(&params, &device->vduse.dev);
}

static void vduse_unmake(struct device *device)
{
	if (vduse_dev_adopted(device->vduse.dev))
		vduse_dev_abandon(device->vduse.dev);
	else
		vduse_dev_free(device->vduse.dev);
	device->vduse.dev = NULL;
}

static bool vduse_adopted(const struct device *device)
{
	return vduse_dev_adopted(device->vduse.dev);
}

static int vduse_destroy(struct device *device)
{
	int err = vduse_dev_free(device->vduse.dev);

	device->vduse.dev = NULL;
	return err;
}

static void vduse_abandon(struct device *device)
{
	vduse_dev_abandon(device->vduse.dev);
	device->vduse.dev = NULL;
}

static struct transport *vduse_open_transport(struct device *device)
{
	struct vduse_transport *transport = &device->vduse.transport;

	if (vduse_transport_init(transport, device->vduse.dev, device->config,
				 device->limits.queues, device->umem))
		return NULL;
	return &transport->transport;
}

static void vduse_close_transport(struct device *device)
{
	vduse_transport_exit(&device->vduse.transport);
}

static void vduse_queues_removed(struct device *device)
{
	device->vduse.queues_gone = true;
	if (device->vduse.stall.active)
		ring_timer_expire_now(device->ring,
				      &device->vduse.stall); /* stall_expired() calls closed() */
	else
		device->closed(device);
}

static void messages_stopped(struct ring_poll *poll)
{
	struct device *device = container_of(poll, struct device, vduse.messages);

	device->vduse.receive_stopped = true;
	if (!device->vduse.message_pending)
		device_close_queues(device);
	/* else message_done() closes them when the reply was sent */
}

static void vduse_stop(struct device *device)
{
	if (device->vduse.messages.ring)
		ring_poll_stop(&device->vduse.messages, messages_stopped);
	/* else queues_added() or recovered() removes the queues */
}

const struct device_ops vduse_device_ops = {
	.make = vduse_make,
	.unmake = vduse_unmake,
	.adopted = vduse_adopted,
	.open_transport = vduse_open_transport,
	.close_transport = vduse_close_transport,
	.begin = vduse_begin,
	.stop = vduse_stop,
	.queues_removed = vduse_queues_removed,
	.destroy = vduse_destroy,
	.abandon = vduse_abandon,
};
