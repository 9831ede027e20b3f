/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VDUSE_BLK_STORE_ACCESS_H
#define VDUSE_BLK_STORE_ACCESS_H

#include <sys/stat.h>

#include "config/config.h"

/**
 * store_access_warn() - log a warning where users other than root and the owner may open a store
 * @st: of the file or block device at the device's path
 *
 * Judges the mode bits of the file and of the directories above it. Access of a group is a reason
 * for a warning with an image file, not with a block device. A user who can open an image for
 * reading can read the disk, and can hold a lock on the image.
 */
void store_access_warn(const struct device_config *config, const struct stat *st);

#endif
