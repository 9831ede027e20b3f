/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device of a disk: its limits (size, features, queues), from its section and its store, and
 * the comparison with a device that is in the kernel already.
 *
 * Functions that open or examine a store may block for ever: call them in tasks (task.h). Call the
 * others on the main thread.
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
 * device_open_store() - first step: open the backing store, and set the limits of the disk
 * @device:      zeroed
 * @runtime_dir: directory of the inflight logs, and of the sockets of servers
 *
 * If the kernel has a device of this name, checks that it can be adopted, and waits for a server
 * that is just ending. Return: 0; -errno, logged
 */
int __must_check device_open_store(struct device *device, const struct device_config *config,
				   const char *runtime_dir);
void device_close_store(struct device *device);

/**
 * device_examine() - could a new server adopt the device, after its server has released it?
 *
 * Checks everything that can be checked while that server has the device and its store. Return: 0;
 * -errno, logged
 */
int __must_check device_examine(const struct device_config *config, const char *runtime_dir);

/**
 * device_check_store() - could the store be served? For "check --stores"
 *
 * Checks everything that can be checked while a server has the store. If no server has the disk, it
 * also checks whether the store is in use. Return: 0; -errno, logged
 */
int __must_check device_check_store(const struct device_config *config, const char *runtime_dir);

/**
 * device_set_limits() - set the limits from the section and the store. The functions above call it
 *
 * Return: 0; -EINVAL, logged
 */
int __must_check device_set_limits(struct device *device);

/** device_identity() - the identity of the disk (identity.h); call it after device_set_limits() */
void device_identity(const struct device *device, struct disk_identity *out);

/** device_inflight_params() - parameters of the inflight log; @params points to @identity */
void device_inflight_params(const struct device *device, const char *runtime_dir,
			    char identity[INFLIGHT_IDENTITY_MAX], struct inflight_params *params);

/**
 * device_note_offer() - a vhost-user front end has connected or gone: write down what it was offered
 *
 * In a file like an inflight log, for the next server: in a takeover, a front end that connects again
 * must find the same features and queues. Without a front end the file is removed.
 */
void device_note_offer(struct device *device, const char *runtime_dir);

/**
 * device_create() - second step: create the VDUSE device, or adopt it, and serve it
 * @runtime_dir:  directory of the inflight logs
 * @workers:      each queue gets one of them in turn, beginning with *@next_worker
 * @next_worker:  increased by the number of queues
 *
 * May be called again after device_destroy(). A new device is not on the vdpa bus yet. An adopted
 * device continues where its former server stopped. It is adopted only if its inflight log has the
 * identity of this disk. Return: 0; -errno, logged
 */
int __must_check device_create(struct device *device, const char *runtime_dir, struct ring *ring,
			       struct worker *workers, unsigned int worker_count,
			       unsigned int *next_worker);

#endif
