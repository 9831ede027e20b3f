/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Detects a store that is stored on its own disk: its I/O would wait for itself. */
#ifndef VDUSE_BLK_SELF_BACKING_H
#define VDUSE_BLK_SELF_BACKING_H

#include <stdbool.h>
#include <sys/stat.h>

/**
 * self_backing_lies_on() - does a file or block device lie on the disk of VDUSE device @name?
 * @st: of the file or block device
 *
 * Follows partitions, device mapper, md and loop devices in sysfs, without I/O.
 */
bool self_backing_lies_on(const struct stat *st, const char *name);

#endif
