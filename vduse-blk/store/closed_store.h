/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store that was examined and is not open: its limits and its identity are known.
 *
 * For front ends that open the store only while a driver uses the disk. No operation may be submitted.
 */
#ifndef VDUSE_BLK_CLOSED_STORE_H
#define VDUSE_BLK_CLOSED_STORE_H

#include "backend.h"
#include "compiler.h"
#include "config/config.h"

/** closed_store_new() - examine the store; may block for ever. Return: as @examine of store_type.h */
int __must_check closed_store_new(const struct device_config *config, struct backend **out);

/**
 * closed_store_check() - was the store that is now open examined by closed_store_new()?
 *
 * It may have grown meanwhile. Return: 0; -EINVAL, logged
 */
int __must_check closed_store_check(const struct device_config *config,
				    const struct backend *closed, const struct backend *open);

#endif
