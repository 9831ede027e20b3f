/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does differently with each front end, from its section to its device: a table with a row for disks
 * on the vdpa bus (vdpa_disk.c) and one for vhost-user (vhost_user_disk.c). frontend/device.h has the table of
 * the device itself, queue/transport.h that of the queues.
 */
#ifndef VDUSE_BLK_DISK_OPS_H
#define VDUSE_BLK_DISK_OPS_H

#include <stdbool.h>

#include "frontend/device.h"

struct disk_ops {
	/* In tasks: they may block for ever. Return: 0; -errno, logged */

	/** @open: wait until the former server has ended, and open the store, or examine it */
	int (*open)(struct device *device, const char *runtime_dir);

	/** @check: the store is open: can the disk be served beside all that is in the kernel? */
	int (*check)(struct device *device, const char *runtime_dir);

	/** @check_takeover: the store is examined, and another server has the disk: could this one take it over? */
	int (*check_takeover)(struct device *device, const char *runtime_dir);

	/** @check_stores: likewise, or no server has the disk: for "check --stores" */
	int (*check_stores)(struct device *device, const char *runtime_dir);

	/** @may_lock: may the store be locked for a moment to examine it? A server may have it */
	bool (*may_lock)(const struct device_config *config);

	/* On the main thread. */

	/** @set_limits: change what this front end offers in another way. NULL: nothing */
	void (*set_limits)(struct blk_limits *limits);

	/** @has_driver: did a former server leave the device to a driver, which has read the limits? */
	bool (*has_driver)(const struct device_config *config);

	/** @open_inflight: create the inflight log, or open that of an adopted device. Return: 0; -errno, logged */
	int (*open_inflight)(struct device *device, const char *runtime_dir);
};

extern const struct disk_ops vdpa_disk_ops, vhost_user_disk_ops;

/** disk_ops_of() - the row for the front end of a section */
const struct disk_ops *disk_ops_of(const struct device_config *config);

#endif
