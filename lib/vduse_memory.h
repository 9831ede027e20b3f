/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver's memory, as one VDUSE device shows it: what fills the device's IOTLB.
 *
 * A miss asks the kernel for the region around the address (VDUSE_IOTLB_GET_FD) and maps it; or,
 * where that is the bounce memory of virtio-vdpa and the caller wants it so, puts our own memory in
 * its place (VDUSE_IOTLB_REG_UMEM). Threads: a miss may be on any, and changes this under the
 * table's lock; the rest belongs to the thread that owns the device.
 *
 * Source: drivers/vdpa/vdpa_user/vduse_dev.c, iova_domain.c (Linux 6.12).
 */
#ifndef LIB_VDUSE_MEMORY_H
#define LIB_VDUSE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "iotlb.h"
#include "log.h"
#include "mappings.h"

struct vduse_memory {
	const char *name; /* of the device; the owner's */
	int fd;		  /* the same */
	struct iotlb tlb;
	bool want_umem;
	uint64_t mapped; /* bytes; this and the rest under the table's lock */
	struct mappings mappings;
	struct log_limit fill_errors;
	void *umem; /* our bounce memory once registered, else NULL */
	size_t umem_size;
};

/** vduse_memory_init() - for a device that is open as @fd; @umem: replace bounce pages by our memory */
void vduse_memory_init(struct vduse_memory *memory, const char *name, int fd, bool umem);

/** vduse_memory_unmap() - drop all mappings. No thread may use the table any more */
void vduse_memory_unmap(struct vduse_memory *memory);

/**
 * vduse_memory_free() - the last, after the device was closed
 *
 * Closing hands bounce data back to the kernel's pages, out of our memory.
 */
void vduse_memory_free(struct vduse_memory *memory);

/**
 * vduse_memory_renew() - the device has a new IOVA domain: free the memory registered with the old
 * one
 *
 * Since Linux 7.0 each "vdpa dev add" makes a new domain (vduse_dev.c:vdpa_dev_add()). The kernel
 * uses its bounce pages until memory is registered again, at the next look-up. Nothing may be
 * mapped or in use.
 */
void vduse_memory_renew(struct vduse_memory *memory);

/** vduse_memory_umem() - as vduse_dev_umem() */
int __must_check vduse_memory_umem(struct vduse_memory *memory, void **addr, size_t *size);

#endif
