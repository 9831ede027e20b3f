/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VDUSE_BLK_STORE_ACCESS_H
#define VDUSE_BLK_STORE_ACCESS_H

#include <sys/stat.h>

#include "config/config.h"

/**
 * store_access_warn() - log a warning if users other than root and the owner may open a store
 * @st: of the file or block device at the device's path
 *
 * Checks the mode bits of the file and of the directories above it. Warns of group access for an
 * image file, not for a block device. A user who can open an image for reading can read the disk, and
 * can hold a lock on the image.
 */
void store_access_warn(const struct device_config *config, const struct stat *st);

#endif
