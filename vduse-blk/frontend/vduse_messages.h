/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's control messages to a VDUSE device, and the replies. Main thread; used by vduse_device.c.
 *
 * The reply to a message is sent when the message has taken effect. Where the queues must execute a
 * command first, the reply is sent later, and the next message is read after it. A reply that takes
 * more than five seconds is logged, and "stats" shows it.
 */
#ifndef VDUSE_BLK_VDUSE_MESSAGES_H
#define VDUSE_BLK_VDUSE_MESSAGES_H

#include "device.h"

/** device_serve_messages() - begin to receive control messages */
void device_serve_messages(struct device *device);

/**
 * device_check_features() - are the features that the driver accepted valid?
 *
 * The kernel does not check them. Return: NULL with *@features set; or an error text whose subject
 * is the driver
 */
const char *device_check_features(struct device *device, uint64_t *features);

#endif
