/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver memory of one VDUSE device: fills the device's IOTLB.
 *
 * A miss asks the kernel for the region around the address (VDUSE_IOTLB_GET_FD), and maps it. If
 * the region is the bounce buffer of virtio-vdpa, it registers UMEM instead, if the caller has
 * chosen that (VDUSE_IOTLB_REG_UMEM). Threads: a miss may be on any thread, and holds the table's
 * lock; all functions are called on the thread that owns the device.
 *
 * Source: drivers/vdpa/vdpa_user/vduse_dev.c, iova_domain.c (Linux 6.12).
 */
#ifndef LIB_VDUSE_MEMORY_H
#define LIB_VDUSE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "driver_map.h"
#include "iotlb.h"
#include "log.h"

struct vduse_memory {
	const char *name; /* of the device; the caller owns it */
	int fd;		  /* of /dev/vduse/NAME; the caller owns it */
	struct iotlb tlb;
	bool want_umem;
	struct driver_maps maps; /* the table's lock protects it and the members below */
	struct log_limit fill_errors;
	void *umem; /* registered as bounce buffer; NULL: no UMEM is registered */
	size_t umem_size;
};

/** vduse_memory_init() - @fd: of the open device; @umem: register UMEM as bounce buffer */
void vduse_memory_init(struct vduse_memory *memory, const char *name, int fd, bool umem);

/** vduse_memory_unmap() - unmap all regions. No thread may use the table any more */
void vduse_memory_unmap(struct vduse_memory *memory);

/**
 * vduse_memory_free() - free the UMEM, after the device was closed
 *
 * When the device is closed, the kernel copies the data in UMEM to its own bounce pages.
 */
void vduse_memory_free(struct vduse_memory *memory);

/**
 * vduse_memory_renew() - the device has a new IOVA domain: free the UMEM of the old one
 *
 * Since Linux 7.0 each "vdpa dev add" creates a new domain (vduse_dev.c:vdpa_dev_add()). The kernel
 * uses its bounce pages until UMEM is registered again, at the next miss. No region may be mapped.
 */
void vduse_memory_renew(struct vduse_memory *memory);

/** vduse_memory_umem() - as vduse_dev_umem() */
int __must_check vduse_memory_umem(struct vduse_memory *memory, void **addr, size_t *size);

#endif
