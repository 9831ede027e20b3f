/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VDUSE_BLK_STORE_FORMAT_H
#define VDUSE_BLK_STORE_FORMAT_H

#include <stdbool.h>

#include "host_file.h"

#define STORE_FORMAT_ADVICE_MAX 80

/**
 * store_format_advice() - does an image file begin as one of a format does, which we do not read?
 * @file:  open; block devices are not looked at
 * @advice: where it does, what to do, as a phrase that names the format
 *
 * A guest may have written the same bytes to its first sector: this is a hint, no proof. Reads from
 * the file.
 */
bool store_format_advice(const struct host_file *file, char advice[STORE_FORMAT_ADVICE_MAX]);

/** store_format_warn() - log a warning where it does */
void store_format_warn(const struct device_config *config, const struct host_file *file);

#endif
