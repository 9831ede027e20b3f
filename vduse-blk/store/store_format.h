/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VDUSE_BLK_STORE_FORMAT_H
#define VDUSE_BLK_STORE_FORMAT_H

#include <stdbool.h>

#include "host_file.h"

#define STORE_FORMAT_ADVICE_MAX 80

/**
 * store_format_advice() - does an image file begin with the signature of a format such as qcow2?
 * @file:   open. A block device is not examined
 * @advice: out, if it does: what to do, as a phrase that names the format
 *
 * Not certain: a guest may have written these bytes to its first sector. Reads from the file.
 */
bool store_format_advice(const struct host_file *file, char advice[STORE_FORMAT_ADVICE_MAX]);

/** store_format_warn() - log a warning if store_format_advice() finds a format */
void store_format_warn(const struct device_config *config, const struct host_file *file);

#endif
