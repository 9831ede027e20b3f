/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limits of an open store (block size, size, ranges), and the check of the configuration. */
#ifndef VDUSE_BLK_FILE_LIMITS_H
#define VDUSE_BLK_FILE_LIMITS_H

#include <stdint.h>
#include <sys/stat.h>

#include "compiler.h"
#include "host_file.h"

/**
 * file_limits_examine() - fill @file->limits and the limits of one operation
 * @st:   of @file->fd
 * @size: out: bytes of the file or disk
 *
 * Reads from the store if the kernel does not report what O_DIRECT needs. Any thread that may block.
 *
 * Return: 0; -errno of an ioctl
 */
int __must_check file_limits_examine(struct host_file *file, const struct stat *st, uint64_t *size);

/**
 * file_limits_apply() - apply the configuration's block size, offset, size and iopoll
 * @store_size: the result of file_limits_examine()
 *
 * Return: 0; -EINVAL: the store does not allow them, logged
 */
int __must_check file_limits_apply(const struct device_config *config, struct host_file *file,
				   uint64_t store_size, dev_t rdev);

#endif
