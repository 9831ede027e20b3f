/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that earlier servers left in the kernel: a new one must not be made of their bytes. */
#ifndef VDUSE_BLK_ORPHANS_H
#define VDUSE_BLK_ORPHANS_H

#include "compiler.h"
#include "device.h"

/**
 * orphans_check() - is there a disk of another name in the kernel that has bytes of @device?
 * @device: new, its limits settled
 *
 * Looks at the inflight logs in @runtime_dir whose devices exist: a section that was renamed after a
 * crash would serve an image a second time, below a file system that waits for the first disk. Two
 * disks that are only read may share a store.
 *
 * Return: 0; -EBUSY: there is one, logged with the ways out
 */
int __must_check orphans_check(const struct device *device, const char *runtime_dir);

#endif
