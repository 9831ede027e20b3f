/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two devices of one configuration on the same bytes, by whatever paths. */
#ifndef VDUSE_BLK_OVERLAP_H
#define VDUSE_BLK_OVERLAP_H

#include "compiler.h"
#include "config.h"

/**
 * overlap_check() - look what the paths lead to; nothing is opened
 *
 * The lock of the first would keep the second out, as it does another process, and who reads that
 * would look for one. Return: 0, also where a path leads nowhere; -EBUSY, logged; -ENOMEM
 */
int __must_check overlap_check(const struct config *config);

#endif
