/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users of an image file that hold no lock: loop devices, swap, programs. */
#ifndef VDUSE_BLK_STORE_USERS_H
#define VDUSE_BLK_STORE_USERS_H

#include <sys/stat.h>

#include "compiler.h"
#include "config/config.h"
#include "openers.h"
#include "host_file.h"

/**
 * store_users_check() - look for users of a new disk's store that take no lock and no O_EXCL
 * @file:   open and locked
 * @written: the result of openers_written() before this process opened the store
 *
 * Refuses a store that a loop device can write to, or that is swap space. Warns of a loop device
 * that only reads it, and of programs that have an image open for writing without a lock. For a
 * block device it looks for loop devices only, since O_EXCL excludes other users. Reads tables in
 * /sys and /proc, and calls stat() for a file in them only if its last name is that of the store.
 *
 * Return: 0; -EBUSY, logged
 */
int __must_check store_users_check(const struct device_config *config, const struct host_file *file,
				   enum file_written written);

#endif
