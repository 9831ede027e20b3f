/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk: its store, its VDUSE device and its queues, and the answers to control messages.
 *
 * Lives on the main thread. A control message is answered when its effect holds: the answer is
 * parked while the queues drain, and the thread goes on with other work meanwhile.
 */
#ifndef VDUSE_BLK_DEVICE_H
#define VDUSE_BLK_DEVICE_H

#include <stdbool.h>

#include "store/backend.h"
#include "compiler.h"
#include "config/config.h"
#include "store/identity.h"
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

	uint8_t status; /* bits that the driver set since its reset, and we accepted */
	bool answering; /* a message was taken and is not answered yet */
	struct vduse_dev_request request;
	uint64_t asked_ns; /* when it was taken */
	bool stalled;	   /* it has been owed for so long that it was said */
	struct ring_timer stall;
	uint64_t messages_answered;
	uint64_t worst_answer_ns;

	bool deaf; /* closing, and takes no messages any more */
	bool gone; /* no queue is left */
	struct log_limit refusals;

	void (*closed)(struct device *device);
	void (*driver_changed)(
		struct device *device); /* called after a driver's reset or start; may be NULL */
};

/** device_queue_count() - how many queues a device will have */
uint16_t device_queue_count(const struct device_config *config);

/** device_queue_size() - of how many descriptors each */
uint16_t device_queue_size(const struct device_config *config);

/**
 * device_open_store() - first step: open the backing store and settle what the driver will see
 * @runtime_dir: of the servers that may have it, and of the record it is compared with
 *
 * @device is zeroed. Nothing exists in the kernel yet; or a device that can be gone on with. Waits
 * for a server that is just ending. Return: 0; -errno, logged
 */
int __must_check device_open_store(struct device *device, const struct device_config *config,
				   const char *runtime_dir);
void device_close_store(struct device *device);

/**
 * device_examine() - could a new server adopt the device, after its server has released it?
 *
 * Checks all that can be checked while that server has the device and its store. Return: 0; -errno,
 * logged
 */
int __must_check device_examine(const struct device_config *config, const char *runtime_dir);

/**
 * device_check_store() - could the store be served? For "check --stores"
 *
 * Checks all that can be checked while a server has the store; of a disk that no server has, also
 * whether the store is in use. Return: 0; -errno, logged
 */
int __must_check device_check_store(const struct device_config *config, const char *runtime_dir);

/**
 * device_settle() - set the limits from the configuration and the store. A part of the functions
 * above
 *
 * Return: 0; -EINVAL, logged
 */
int __must_check device_settle(struct device *device);

/** device_identity() - the identity of the disk (identity.h); call it after device_settle() */
void device_identity(const struct device *device, struct disk_identity *out);

/** device_describe_record() - the parameters of the device's inflight log, with its identity */
void device_describe_record(const struct device *device, const char *runtime_dir,
			    char identity[INFLIGHT_IDENTITY_MAX], struct inflight_params *params);

/** device_open_record() - a part of device_create(): the new record, or the old one */
int __must_check device_open_record(struct device *device, const char *runtime_dir);

/**
 * device_create() - second step: make the VDUSE device, or adopt it, and answer its messages
 * @runtime_dir:  where the record of requests in flight is
 * @workers:      the device's queues are spread over them, beginning at *@next_worker
 * @next_worker:  moves on by the number of queues
 *
 * May be called again after device_destroy(). A new device is not on the vdpa bus yet. An adopted
 * device continues where its former server stopped, if the inflight log shows that it is the same
 * disk. Return: 0; -errno, logged
 */
int __must_check device_create(struct device *device, const char *runtime_dir, struct ring *ring,
			       struct worker *workers, unsigned int worker_count,
			       unsigned int *next_worker);

/** device_destroy() - after device_close(): out of the kernel. Return: 0; -EBUSY: it is on the
 * vdpa bus, and stays, not logged; other -errno, logged */
int device_destroy(struct device *device);

/** device_abandon() - after device_close(): stays in the kernel, with its record */
void device_abandon(struct device *device);

/**
 * device_close() - stop serving; the device must be off the vdpa bus
 * @closed: called on the main thread when no thread uses the device's memory any more;
 *          device_destroy() and device_close_store() are then left to do
 */
void device_close(struct device *device, void (*closed)(struct device *device));

#endif
