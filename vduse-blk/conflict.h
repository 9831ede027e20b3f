/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users of an image file that hold no lock: loop devices, swap, programs. */
#ifndef VDUSE_BLK_CONFLICT_H
#define VDUSE_BLK_CONFLICT_H

#include <sys/stat.h>

#include "compiler.h"
#include "config.h"
#include "openers.h"
#include "store.h"

/**
 * conflict_check() - who uses a new disk's store besides us, that no lock or claim keeps away?
 * @store:   open and locked
 * @written: as openers_written() said before this process opened it
 *
 * A loop device that can write, and swap, are refused. What only reads, and programs that have an
 * image open for writing without a lock, are warned of; block devices are O_EXCL's matter, but for
 * loop devices. Reads tables in /sys and /proc; a file elsewhere is looked at only where its name
 * is that of the image.
 *
 * Return: 0; -EBUSY, logged
 */
int __must_check conflict_check(const struct device_config *config, const struct store *store,
				enum file_written written);

#endif
