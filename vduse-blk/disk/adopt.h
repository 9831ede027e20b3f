/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adopts a device that a former server left in the kernel: checks that the disk is unchanged.
 *
 * The driver has read size, serial number, queues and features, and the kernel cannot change them
 * while the device is attached. The inflight log contains them.
 */
#ifndef VDUSE_BLK_ADOPT_H
#define VDUSE_BLK_ADOPT_H

#include <stdbool.h>

#include "compiler.h"
#include "disk_device.h"
#include "inflight.h"

/**
 * adopt_inflight() - open the inflight log of a device that is to be adopted
 * @device: its limits come from the section and the store. If the store has grown, or an earlier
 *          version made the serial number, this function replaces them by those of the log
 * @log_growth: write a log line if the store has grown
 *
 * Return: 0; -EINVAL: the device differs from the log; other -errno; logged. The log line names the
 * keys of the configuration that differ
 */
int __must_check adopt_inflight(struct device *device, const char *runtime_dir, bool log_growth,
				struct inflight **out);

#endif
