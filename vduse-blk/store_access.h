/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VDUSE_BLK_STORE_ACCESS_H
#define VDUSE_BLK_STORE_ACCESS_H

#include <sys/stat.h>

#include "config.h"

/**
 * store_access_warn() - log a warning where users other than root and the owner may open a store
 * @st: of the file or block device at the device's path
 *
 * Judges the mode bits of the file and of the directories above it; a group is trusted with a block
 * device. Who may open an image for reading reads the disk, and can hold a lock on it.
 */
void store_access_warn(const struct device_config *config, const struct stat *st);

#endif
