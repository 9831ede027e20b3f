/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device of a disk: what its driver will see, from the configuration and the store, and whether
 * the kernel has the same already.
 *
 * Functions that open or examine a store may block for ever: they are for tasks (task.h). The
 * others are for the main thread.
 */
#ifndef VDUSE_BLK_DISK_DEVICE_H
#define VDUSE_BLK_DISK_DEVICE_H

#include "compiler.h"
#include "config/config.h"
#include "frontend/device.h"
#include "inflight.h"
#include "ring.h"
#include "store/identity.h"

/**
 * device_open_store() - first step: open the backing store, and set the limits that the driver sees
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
 * device_set_limits() - set the limits from the configuration and the store. A part of the functions
 * above
 *
 * Return: 0; -EINVAL, logged
 */
int __must_check device_set_limits(struct device *device);

/** device_identity() - the identity of the disk (identity.h); call it after device_set_limits() */
void device_identity(const struct device *device, struct disk_identity *out);

/** device_inflight_params() - the parameters of the device's inflight log, with its identity */
void device_inflight_params(const struct device *device, const char *runtime_dir,
			    char identity[INFLIGHT_IDENTITY_MAX], struct inflight_params *params);

/** device_open_inflight() - a part of device_create(): the new record, or the old one */
int __must_check device_open_inflight(struct device *device, const char *runtime_dir);

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

#endif
