/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VDUSE device of a disk, its queues, and the replies to the kernel's control messages.
 *
 * Main thread. The reply to a control message is sent when the message has taken effect: it is
 * deferred while the queues drain, and the thread does other work meanwhile.
 */
#ifndef VDUSE_BLK_DEVICE_H
#define VDUSE_BLK_DEVICE_H

#include <stdbool.h>

#include "store/backend.h"
#include "compiler.h"
#include "config/config.h"
#include "inflight.h"
#include "queue/queues.h"
#include "ring.h"
#include "vduse_dev.h"
#include "vduse_transport.h"
#include "queue/virtio_blk.h"
#include "queue/worker.h"

struct device {
	const struct device_config *config;
	struct backend *backend;
	struct blk_limits limits;
	bool umem; /* bounce memory is to be ours; set before device_create() */
	struct vduse_dev *dev;
	struct inflight *inflight; /* log of requests in flight, for the next server */
	struct vduse_transport transport;
	struct queues queues;
	struct ring *ring; /* of the main thread */
	struct ring_poll messages;

	uint8_t status;	    /* bits that the driver set since its reset, and we accepted */
	bool reply_pending; /* a message was taken and is not answered yet */
	struct vduse_dev_request request;
	uint64_t received_ns; /* when it was taken */
	bool reply_stalled;   /* it has been owed for so long that it was said */
	struct ring_timer stall;
	uint64_t messages_replied;
	uint64_t slowest_reply_ns;

	bool receive_stopped; /* closing, and takes no messages any more */
	bool queues_gone;     /* no queue is left */
	struct log_limit refusals;

	void (*closed)(struct device *device);
	void (*driver_changed)(
		struct device *device); /* called after a driver's reset or start; may be NULL */
};

/**
 * device_make() - make the VDUSE device in the kernel, or adopt it
 * @device: @config, @limits and @umem are set
 *
 * A new device is not on the vdpa bus yet, and nobody serves it. Return: 0; -errno, logged
 */
int __must_check device_make(struct device *device);

/** device_unmake() - undo device_make(); an adopted device stays in the kernel */
void device_unmake(struct device *device);

/**
 * device_serve() - create its queues, and begin to reply to its messages
 * @device:      after device_make(); @backend, @inflight and @ring are set too
 * @workers:     the queues are spread over them, beginning at *@next_worker
 * @next_worker: moves on by the number of queues
 *
 * An adopted device continues where its former server stopped. Return: 0; -errno, logged
 */
int __must_check device_serve(struct device *device, struct worker *workers,
			      unsigned int worker_count, unsigned int *next_worker);

/**
 * device_destroy() - after device_close(): remove it from the kernel, with its inflight log
 *
 * Return: 0; -EBUSY: it is on the vdpa bus, and stays, not logged; other -errno, logged
 */
int device_destroy(struct device *device);

/** device_abandon() - after device_close(): leave it in the kernel, with its inflight log */
void device_abandon(struct device *device);

/**
 * device_close() - stop serving; the device must be off the vdpa bus
 * @closed: called on the main thread when no thread uses the device's memory any more;
 *          device_destroy() or device_abandon() is then left to do
 */
void device_close(struct device *device, void (*closed)(struct device *device));

#endif
