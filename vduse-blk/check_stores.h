/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "check --stores": a look at every store of a configuration, beside a server that serves them. */
#ifndef VDUSE_BLK_CHECK_STORES_H
#define VDUSE_BLK_CHECK_STORES_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"

/**
 * check_stores() - open and examine the store of each device, and close it again
 *
 * Whatever is wrong with a store is logged as one line; the others are looked at all the same. Locks
 * and O_EXCL are tried for a moment where no server has the disk. Return: are all of them right?
 */
bool __must_check check_stores(const struct config *config);

#endif
