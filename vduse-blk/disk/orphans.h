/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orphaned disks: a former server left them in the kernel. A new disk must not use their bytes. */
#ifndef VDUSE_BLK_ORPHANS_H
#define VDUSE_BLK_ORPHANS_H

#include "compiler.h"
#include "disk_device.h"

/**
 * orphans_check() - does the kernel have a disk of another name that uses bytes of @device?
 * @device: a new device whose limits are set
 *
 * Looks at all inflight logs in @runtime_dir whose devices exist. Without this check, a section
 * that was renamed after a crash would serve an image a second time, while a file system still
 * waits for the first disk. Two read-only disks may share a store.
 *
 * Return: 0; -EBUSY: yes, logged with the name of that disk
 */
int __must_check orphans_check(const struct device *device, const char *runtime_dir);

#endif
