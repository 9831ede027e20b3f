/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's control messages to a device, and the answers. A part of device.c's, main thread.
 *
 * A message is answered when its effect holds. Where queues must obey first the answer is parked;
 * the next message is taken after it. An answer that is owed for long is said and counted.
 */
#ifndef VDUSE_BLK_VDUSE_MESSAGES_H
#define VDUSE_BLK_VDUSE_MESSAGES_H

#include "device.h"

/** device_serve_messages() - begin to take them */
void device_serve_messages(struct device *device);

/**
 * device_check_features() - the kernel passes on whatever a driver accepts
 *
 * Return: NULL with *@features set, or what is wrong with it, as a phrase about the driver
 */
const char *device_check_features(struct device *device, uint64_t *features);

/** device_close_queues() - of device.c: no message will come any more, and none is being answered */
void device_close_queues(struct device *device);

#endif
