/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limits of an open store (block size, size, ranges); does the configuration suit them? */
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
 * Reads from the store where the kernel does not tell what O_DIRECT needs; any thread that may
 * wait.
 *
 * Return: 0; -errno of an ioctl
 */
int __must_check file_limits_examine(struct host_file *file, const struct stat *st, uint64_t *size);

/**
 * file_limits_apply() - the configuration's block size, offset, size and iopoll
 * @store_size: as file_limits_examine() found it
 *
 * Return: 0; -EINVAL: they do not fit, logged
 */
int __must_check file_limits_apply(const struct device_config *config, struct host_file *file,
				   uint64_t store_size, dev_t rdev);

#endif
