/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks below disks: a store that needs the very disk that is made of it would wait for itself. */
#ifndef VDUSE_BLK_SELF_BACKING_H
#define VDUSE_BLK_SELF_BACKING_H

#include <stdbool.h>
#include <sys/stat.h>

/**
 * self_backing_lies_on() - does a file or block device lie on the disk of VDUSE device @name?
 * @st: of the file or block device
 *
 * Looks through partitions, device mapper, md and loop devices, in sysfs: no disk is touched.
 */
bool self_backing_lies_on(const struct stat *st, const char *name);

#endif
