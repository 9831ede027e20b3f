/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a guest, as the front end describes it: regions of files that are mapped here.
 *
 * Each region has an address in three address spaces: guest physical (descriptors of chains), user
 * address of the front end (addresses of rings), address in this process. The IOTLB of this table
 * translates guest physical addresses.
 *
 * Changes: one thread, while no queue uses the memory. Look-ups of the IOTLB: any thread.
 */
#ifndef LIB_VHOST_USER_MEMORY_H
#define LIB_VHOST_USER_MEMORY_H

#include <stdint.h>

#include "compiler.h"
#include "driver_map.h"
#include "iotlb.h"
#include "vhost_user.h"

/* More regions than QEMU or cloud-hypervisor make. */
#define VHOST_USER_SLOTS_MAX 509

struct vhost_user_mapped {
	struct vhost_user_region region;
	uint8_t *addr; /* of the first byte of the region */
	int fd;	       /* of its file, for the next server (vhost_user_transcript.h); -1: taken */
};

struct vhost_user_memory {
	struct iotlb tlb;
	struct driver_maps maps;
	struct vhost_user_mapped *regions; /* VHOST_USER_SLOTS_MAX */
	unsigned int count;
	struct driver_mapping *unused; /* that were removed and are still mapped */
	unsigned int unused_count;
};

/** vhost_user_memory_init() - a table without regions. Return: 0; -ENOMEM */
int __must_check vhost_user_memory_init(struct vhost_user_memory *memory);
void vhost_user_memory_exit(struct vhost_user_memory *memory);

/**
 * vhost_user_memory_add() - map a region
 * @fd:  of shared memory: memfd, tmpfs, hugetlbfs. On success the table owns it
 * @why: out, on failure: an error text whose subject is the region
 *
 * Memory in a file of any other file system is refused: an access could wait for a file server for
 * ever, and would stop the worker with all its disks.
 *
 * Return: 0; -EINVAL: sizes, overlaps, or the file are wrong; other -errno
 */
int __must_check vhost_user_memory_add(struct vhost_user_memory *memory,
				       const struct vhost_user_region *region, int fd,
				       const char **why);

/** vhost_user_memory_remove() - the region with these addresses and this size. Return: 0; -ENOENT */
int __must_check vhost_user_memory_remove(struct vhost_user_memory *memory,
					  const struct vhost_user_region *region);

/** vhost_user_memory_clear() - remove all regions, and close their descriptors */
void vhost_user_memory_clear(struct vhost_user_memory *memory);

/** vhost_user_memory_discard() - @addr: of a mapping that is no region, made with @memory->maps */
void vhost_user_memory_discard(struct vhost_user_memory *memory, void *addr);

/**
 * vhost_user_memory_take_unused() - the mappings of what was removed
 * @unused: out, valid until the next removal
 *
 * To unmap them may take seconds: call driver_release() for each in a task, soon. Return: their number
 */
unsigned int vhost_user_memory_take_unused(struct vhost_user_memory *memory,
					   const struct driver_mapping **unused);

/**
 * vhost_user_memory_guest_addr() - translate a user address of the front end
 *
 * Return: 0; -EFAULT: it is in no region
 */
int __must_check vhost_user_memory_guest_addr(const struct vhost_user_memory *memory,
					      uint64_t user_addr, uint64_t *guest_addr);

#endif
