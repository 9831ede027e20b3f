/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds two disks of one configuration that use the same bytes, also through different paths. */
#ifndef VDUSE_BLK_BACKING_CONFLICT_H
#define VDUSE_BLK_BACKING_CONFLICT_H

#include "compiler.h"
#include "config/config.h"

/**
 * backing_conflict_check() - compare the identities of all stores, without opening the stores
 *
 * Without this check, the lock of the first disk would refuse the second one, and the log line
 * would make the operator search for another process. Return: 0, also if a path does not exist;
 * -EBUSY, logged; -ENOMEM
 */
int __must_check backing_conflict_check(const struct config *config);

#endif
