/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounce memory of virtio-vdpa: how much, and whose, the kernel's or ours (VDUSE_IOTLB_REG_UMEM).
 *
 * Ours makes I/O cheaper (README, What a request costs), but all of it is pinned: by default only
 * while that of all disks is a small part of the machine's memory. Main thread.
 */
#ifndef VDUSE_BLK_BOUNCE_H
#define VDUSE_BLK_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/** bounce_size() - of @device, in bytes; 0 where its driver has none */
uint64_t bounce_size(const struct device_config *device);

/** bounce_wants_umem() - is that of @device, one of @config, to be memory of this process? */
bool bounce_wants_umem(const struct config *config, const struct device_config *device);

/**
 * bounce_reserve() - make resident the bounce memory of the disks that are to be adopted;
 * umem_alloc() uses it
 */
void bounce_reserve(const struct config *config);

#endif
