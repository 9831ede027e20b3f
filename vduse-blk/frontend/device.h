/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VDUSE device of a disk, its queues, and the replies to the kernel's control messages.
 *
 * Main thread. The reply to a control message is sent when the message has taken effect. While the
 * queues quiesce, the thread does other work.
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
	bool umem; /* register memory of this process as bounce buffer; set before device_make() */
	struct vduse_dev *dev;
	struct inflight *inflight; /* inflight log, for the next server */
	struct vduse_transport transport;
	struct queues queues;
	struct ring *ring; /* the main thread's */
	struct ring_poll messages;

	uint8_t status;	      /* bits that the driver set since its reset, and we accepted */
	bool message_pending; /* a message is being processed: the next one is not read yet */
	struct vduse_dev_request request;
	uint64_t received_ns; /* when it was read */
	bool reply_stalled;   /* its reply is late, and that was logged */
	struct ring_timer stall;
	uint64_t messages_replied;
	uint64_t slowest_reply_ns;

	bool receive_stopped; /* the device is closing, and receives no more control messages */
	bool queues_gone;     /* device_close() has removed the queues */
	struct log_limit refusals;

	void (*closed)(struct device *device);
	void (*driver_changed)(struct device *device); /* after a reset or DRIVER_OK; may be NULL */
};

/**
 * device_make() - make the VDUSE device in the kernel, or adopt it
 * @device: @config, @limits and @umem are set
 *
 * A new device is not on the vdpa bus yet, and its queues do not exist. Return: 0; -errno, logged
 */
int __must_check device_make(struct device *device);

/** device_unmake() - undo device_make(); an adopted device stays in the kernel */
void device_unmake(struct device *device);

/**
 * device_serve() - create the queues of the device, and begin to reply to control messages
 * @device:      after device_make(); @backend, @inflight and @ring are set
 * @workers:     each queue gets one of them in turn, beginning with *@next_worker
 * @next_worker: increased by the number of queues
 *
 * The queues of an adopted device continue where the former server stopped. Return: 0; -errno,
 * logged
 */
int __must_check device_serve(struct device *device, struct worker *workers,
			      unsigned int worker_count, unsigned int *next_worker);

/**
 * device_destroy() - after device_close(): remove the device and its inflight log
 *
 * Return: 0; -EBUSY: the device is on the vdpa bus, and stays, not logged; other -errno, logged
 */
int device_destroy(struct device *device);

/** device_abandon() - after device_close(): leave the device and its inflight log */
void device_abandon(struct device *device);

/**
 * device_close() - stop serving; the device must be off the vdpa bus
 * @closed: called on the main thread when no thread uses the device's memory any more. Then the
 *          caller calls device_destroy() or device_abandon()
 */
void device_close(struct device *device, void (*closed)(struct device *device));

#endif
