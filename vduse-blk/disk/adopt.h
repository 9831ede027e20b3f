/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that an earlier server left in the kernel: what it must be to be served again.
 *
 * Its driver knows size, serial number, queues and features, and nothing can change them while it
 * is attached. The inflight log says what they are.
 */
#ifndef VDUSE_BLK_ADOPT_H
#define VDUSE_BLK_ADOPT_H

#include <stdbool.h>

#include "compiler.h"
#include "disk_device.h"
#include "inflight.h"

/**
 * adopt_inflight() - open the inflight log of a device that is to be adopted
 * @device: its limits come from the configuration and the store. Where the store has grown, or an
 *          earlier version made the serial number, this function sets them to those of the log
 * @tell:   log that the store has grown
 *
 * Return: 0; -EINVAL: the device differs from the log, logged by the names of the configuration's
 * keys; other -errno, logged
 */
int __must_check adopt_inflight(struct device *device, const char *runtime_dir, bool tell,
				struct inflight **out);

#endif
