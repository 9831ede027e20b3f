/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "check --stores": examines every store of a configuration, also while a server serves them. */
#ifndef VDUSE_BLK_CHECK_STORES_H
#define VDUSE_BLK_CHECK_STORES_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"

/**
 * check_stores() - open and examine the store of each device, and close it again
 *
 * Logs one line for each store with an error. If no server has the disk, locks the store for a
 * moment, and opens a block device with O_EXCL. Return: true: no errors
 */
bool __must_check check_stores(const struct config *config);

#endif
