/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two devices of one configuration on the same bytes, by whatever paths. */
#ifndef VDUSE_BLK_BACKING_CONFLICT_H
#define VDUSE_BLK_BACKING_CONFLICT_H

#include "compiler.h"
#include "config/config.h"

/**
 * backing_conflict_check() - look where the stores keep their bytes; nothing is opened
 *
 * The lock of the first would keep the second out, as it does another process, and who reads that
 * would look for one. Return: 0, also where a path leads nowhere; -EBUSY, logged; -ENOMEM
 */
int __must_check backing_conflict_check(const struct config *config);

#endif
