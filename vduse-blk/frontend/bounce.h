/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounce buffer of virtio-vdpa: its size, and whether it consists of the kernel's pages or of
 * UMEM, memory that this process registers (VDUSE_IOTLB_REG_UMEM).
 *
 * UMEM makes I/O cheaper (README, What a request costs), but all of it is pinned. So the default is
 * UMEM only where the bounce buffers of all disks are a small part of the machine's memory. Main
 * thread.
 */
#ifndef VDUSE_BLK_BOUNCE_H
#define VDUSE_BLK_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

/** bounce_size() - size in bytes of the bounce buffer of @device; 0: its driver uses none */
uint64_t bounce_size(const struct device_config *device);

/** bounce_wants_umem() - should the bounce buffer of @device, a section of @config, be UMEM? */
bool bounce_wants_umem(const struct config *config, const struct device_config *device);

/**
 * bounce_reserve() - allocate UMEM for all disks of @config that exist in the kernel, and make it
 * resident. umem_alloc() returns it later
 */
void bounce_reserve(const struct config *config);

#endif
