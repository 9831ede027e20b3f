// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_messages.h"

#include <inttypes.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "log.h"
#include "time_ns.h"

/* A reply that takes longer is logged, once. */
#define STALL_WARN_US 5000000

static void take_messages(struct device *device);

static void stall_expired(struct ring_timer *timer);

static void stall_watch(struct device *device)
{
	ring_timer_start(device->ring, &device->vduse.stall, STALL_WARN_US, stall_expired);
}

static void stall_expired(struct ring_timer *timer)
{
	struct device *device = container_of(timer, struct device, vduse.stall);
	uint64_t since_us = (time_now_ns() - device->vduse.received_ns) / 1000;

	if (device->vduse.queues_gone) {
		device->closed(device);
		return;
	}
	if (!device->vduse.message_pending)
		return;
	if (since_us >= STALL_WARN_US && !device->vduse.reply_stalled) {
		device->vduse.reply_stalled = true;
		log_warn(
			"%s: reply to %s delayed: the store has not completed the requests of %u queues",
			device->config->name, vduse_dev_request_name(device->vduse.request.type),
			device->queues.waiting_for);
	}
	stall_watch(device);
}

/* A reply was sent. */
static void note_reply(struct device *device)
{
	uint64_t took_ns = time_now_ns() - device->vduse.received_ns;

	device->vduse.messages_replied++;
	device->vduse.slowest_reply_ns = MAX(device->vduse.slowest_reply_ns, took_ns);
	if (device->vduse.reply_stalled)
		log_info("%s: sent the reply to %s after %u s", device->config->name,
			 vduse_dev_request_name(device->vduse.request.type),
			 (unsigned int)(took_ns / 1000000000));
	device->vduse.reply_stalled = false;
}

static void reply(struct device *device, bool ok)
{
	vduse_dev_reply(device->vduse.dev, &device->vduse.request, ok);
	note_reply(device);
}

/* The reply was sent, and no queue executes a command for it. */
static void message_done(struct device *device)
{
	device->vduse.message_pending = false;
	if (device->vduse.receive_stopped)
		device_close_queues(device);
	else
		take_messages(device);
}

/* Defers the reply until all queues have completed @verb; @done sends it. */
static void reply_after(struct device *device, enum queue_verb verb, uint64_t features,
			void (*done)(struct queues *queues))
{
	device->vduse.message_pending = true;
	stall_watch(device);
	queues_command(&device->queues, verb, features, done);
}

static void failed_start_stopped(struct queues *queues)
{
	struct device *device = device_of_queues(queues);

	iotlb_drop(vduse_dev_iotlb(device->vduse.dev), 0, UINT64_MAX);
	reply(device, false);
	message_done(device);
}

/*
 * Only a reset clears bits. A task that was killed while it waited for our reply has not changed
 * the status in the kernel. So a later status may lack a bit that we have, as DRIVER_OK: without
 * this function the queues would be started twice.
 */
static void add_status(struct device *device, uint8_t status)
{
	device->vduse.status |= status;
}

static void driver_changed(struct device *device)
{
	if (device->driver_changed)
		device->driver_changed(device);
}

static void started(struct queues *queues)
{
	struct device *device = device_of_queues(queues);

	if (queues->result) {
		queues_command(&device->queues, QUEUE_STOP, 0, failed_start_stopped);
		return;
	}
	add_status(device, device->vduse.request.s.status);
	reply(device, true);
	driver_changed(device);
	message_done(device);
}

static void stopped(struct queues *queues)
{
	struct device *device = device_of_queues(queues);

	device->vduse.status = 0;
	queues_clear_lost_writes(queues);
	/* After the reply, rings and bounce buffer are freed: no mapping of them may remain. */
	iotlb_drop(vduse_dev_iotlb(device->vduse.dev), 0, UINT64_MAX);
	reply(device, true);
	driver_changed(device);
	message_done(device);
}

const char *device_check_features(struct device *device, uint64_t *features)
{
	if (vduse_dev_features(device->vduse.dev, features))
		return "cannot read its features";
	if (!device->config->rescue && (*features & ~virtio_blk_features(&device->limits)))
		return "it accepted features that were not offered";
	if (!(*features & (1ull << VIRTIO_F_VERSION_1)))
		return "it did not accept VIRTIO_F_VERSION_1 (it is older than virtio 1.0)";
	return NULL;
}

static void set_status(struct device *device, uint8_t status)
{
	uint8_t new_bits = status & ~device->vduse.status;
	const char *wrong = NULL;
	uint64_t features = 0;

	if (!status) {
		reply_after(device, QUEUE_STOP, 0, stopped);
		return;
	}
	if (!device->vduse.status)
		vduse_dev_new_driver(device->vduse.dev);
	if (new_bits & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK))
		wrong = device_check_features(device, &features);
	if (wrong && log_allow(&device->vduse.refusals, device->config->name))
		log_err("%s: refused the driver: %s (features 0x%" PRIx64 ")", device->config->name,
			wrong, features);

	if (!wrong && (new_bits & VIRTIO_CONFIG_S_DRIVER_OK)) {
		reply_after(device, QUEUE_START, features, started);
		return;
	}
	if (!wrong)
		add_status(device, status);
	reply(device, !wrong);
}

static void resumed(struct queues *queues)
{
	message_done(device_of_queues(queues));
}

static void paused_for_iotlb(struct queues *queues)
{
	struct device *device = device_of_queues(queues);
	const struct vduse_iova_range *range = &device->vduse.request.iova;

	iotlb_drop(vduse_dev_iotlb(device->vduse.dev), range->start, range->last);
	reply(device, true);
	queues_command(&device->queues, QUEUE_RESUME, 0, resumed);
}

static void quiesced_for_state(struct queues *queues)
{
	struct device *device = device_of_queues(queues);
	const struct queue *queue = &queues->all[device->vduse.request.vq_state.index];

	/* The index cannot show that earlier requests, of a former server, are not completed. */
	if (queue->command.replays) {
		reply(device, false);
	} else {
		vduse_dev_reply_vq_state(device->vduse.dev, &device->vduse.request,
					 queue->command.next_avail);
		note_reply(device);
	}
	queues_command(&device->queues, QUEUE_RESUME, 0, resumed);
}

static void handle(struct device *device)
{
	const struct vduse_dev_request *request = &device->vduse.request;

	log_debug("%s: %s 0x%x", device->config->name, vduse_dev_request_name(request->type),
		  request->type == VDUSE_SET_STATUS ? request->s.status : request->vq_state.index);
	switch (request->type) {
	case VDUSE_SET_STATUS:
		set_status(device, request->s.status);
		return;
	case VDUSE_UPDATE_IOTLB:
		reply_after(device, QUEUE_PAUSE, 0, paused_for_iotlb);
		return;
	case VDUSE_GET_VQ_STATE:
		if (request->vq_state.index < device->limits.queues) {
			reply_after(device, QUEUE_QUIESCE, 0, quiesced_for_state);
			return;
		}
	}
	if (log_allow(&device->vduse.refusals, device->config->name))
		log_warn("%s: refused control message %s (%u)", device->config->name,
			 vduse_dev_request_name(request->type), request->type);
	reply(device, false);
}

/* One message at a time: the next one is read after the reply. */
static void take_messages(struct device *device)
{
	int got = 1;

	while (got == 1 && !device->vduse.message_pending && !device->closed) {
		got = vduse_dev_recv(device->vduse.dev, &device->vduse.request);
		if (got == 1) {
			device->vduse.received_ns = time_now_ns();
			handle(device);
		}
	}
	if (got < 0)
		log_err("%s: cannot read control messages: %s", device->config->name,
			strerror(-got));
}

static void messages_ready(struct ring_poll *poll)
{
	take_messages(container_of(poll, struct device, vduse.messages));
}

void device_serve_messages(struct device *device)
{
	ring_poll_start(device->ring, &device->vduse.messages, vduse_dev_fd(device->vduse.dev),
			messages_ready);
}
