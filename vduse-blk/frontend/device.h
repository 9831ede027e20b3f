/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio device of a disk: what its driver sees, from creation to the end.
 *
 * The functions below are common to all front ends. Each front end implements struct device_ops, and
 * sends commands to the queues (queue/queues.h). Main thread.
 */
#ifndef VDUSE_BLK_DEVICE_H
#define VDUSE_BLK_DEVICE_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"
#include "inflight.h"
#include "queue/queues.h"
#include "queue/virtio_blk.h"
#include "queue/worker.h"
#include "ring.h"
#include "store/backend.h"
#include "vduse_device.h"

#define DEVICE_CONNECTION_FDS 2

/* A connection of a front end that another server continues. */
struct device_connection {
	int fds[DEVICE_CONNECTION_FDS]; /* the connection, its transcript; -1: none */

	/*
	 * The former server may take the connection back. Meanwhile the rings run, and messages of the
	 * front end wait.
	 */
	bool held;
};

struct device;
struct vhost_user_device;
struct vhost_user_handover;

/* A front end. The functions without a comment do what the function of device.h does. */
struct device_ops {
	int (*make)(struct device *device);
	void (*unmake)(struct device *device);
	bool (*adopted)(const struct device *device);

	/** @open_transport: Return: the transport for the queues; NULL: failed, logged */
	struct transport *(*open_transport)(struct device *device);
	void (*close_transport)(struct device *device);

	/** @begin: the queues exist: adopt the driver, or listen to it */
	void (*begin)(struct device *device);

	/** @stop: listen to the driver no more, and call device_close_queues() then */
	void (*stop)(struct device *device);

	/** @queues_removed: after @stop; the front end calls device->closed(). May be NULL */
	void (*queues_removed)(struct device *device);

	int (*destroy)(struct device *device);
	void (*abandon)(struct device *device);
};

struct device {
	const struct device_config *config;
	struct backend *backend;
	struct blk_limits limits;
	bool umem; /* register memory of this process as bounce buffer; set before device_make() */
	const struct device_ops *ops; /* of the front end; NULL: no device exists */
	struct inflight *inflight;    /* inflight log, for the next server */
	struct queues queues;
	struct ring *ring; /* the main thread's */

	struct inflight *offer; /* device_note_offer(); NULL: none */

	struct vduse_device vduse;
	struct vhost_user_device *vhost_user; /* NULL: the front end is another one */

	/* In a takeover. NULL: the caller does not pass connections on. */
	struct device_connection *connection;  /* in: of a former server; @fds become -1 */
	struct vhost_user_handover **handover; /* out, of device_close(): the connection */

	void (*closed)(struct device *device);
	/*
	 * @connection was taken over: 0: what the front end has said before was received. Else the
	 * connection is closed here; -EPROTO: that was refused, and another server would refuse it too;
	 * other -errno: this server could not receive it. May be NULL
	 */
	void (*resumed)(struct device *device, int err);
	void (*driver_changed)(
		struct device *device); /* after a reset or DRIVER_OK, or when a front end has
						  * connected or disconnected; may be NULL */
};

/**
 * device_make() - make the device of the front end, or adopt it
 * @device: @config, @limits and @umem are set
 *
 * A new device is not attached yet, and its queues do not exist. Return: 0; -errno, logged
 */
int __must_check device_make(struct device *device);

/** device_unmake() - undo device_make(); an adopted device stays */
void device_unmake(struct device *device);

/** device_exists() - has it a device that was not destroyed or abandoned? */
static inline bool device_exists(const struct device *device)
{
	return device->ops;
}

/** device_adopted() - did device_make() adopt a device that a driver may use already? */
bool device_adopted(const struct device *device);

/**
 * device_serve() - create the queues of the device, and begin to serve its driver
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
 * device_close() - stop serving; no driver on the vdpa bus may use the device
 * @closed: called on the main thread when no thread uses the device's memory any more. Then the
 *          caller calls device_destroy() or device_abandon()
 */
void device_close(struct device *device, void (*closed)(struct device *device));

/** device_close_queues() - called by front ends: quiesce and remove the queues */
void device_close_queues(struct device *device);

static inline struct device *device_of_queues(struct queues *queues)
{
	return container_of(queues, struct device, queues);
}

#endif
