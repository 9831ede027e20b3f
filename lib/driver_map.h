/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mappings of memory that belongs to a driver, whose owner may truncate or change it at any time.
 *
 * Accesses to such a mapping survive SIGBUS (sigbus.h). Its pages are not locked by mlockall(), and
 * are not in core dumps. The number of mappings and their size are limited (mappings.h).
 */
#ifndef LIB_DRIVER_MAP_H
#define LIB_DRIVER_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "mappings.h"

/*
 * The limit for the mappings of one device, in bytes. All devices of a process share 128 TiB of
 * addresses. The largest virtual machines have some 10 TiB.
 */
#define DRIVER_MAP_MAX (16ull << 40)

/* Zeroed is ready. Used by one thread at a time. */
struct driver_maps {
	struct mappings mappings;
	uint64_t bytes;
};

/* A mapping that no device holds any more. */
struct driver_mapping {
	void *start;
	uint64_t size;
};

/**
 * driver_map() - map @size bytes of @fd from @offset on, shared
 * @prot: PROT_READ and/or PROT_WRITE
 *
 * In shared memory they may begin and end within a page, which may be a huge one.
 *
 * Return: 0; -EFBIG: more than DRIVER_MAP_MAX; -ENOSPC: too many mappings; other -errno of mmap()
 */
int __must_check driver_map(struct driver_maps *maps, int fd, uint64_t offset, uint64_t size,
			    int prot, void **addr);

/** driver_unmap() - the mapping with @addr in it; no thread may use it any more */
void driver_unmap(struct driver_maps *maps, void *addr);

/**
 * driver_forget() - the first half of driver_unmap(), which does not block
 *
 * munmap() takes up to half a second for each GiB that was used. It is driver_release() that calls it,
 * on any thread. Until then the mapping counts for the process, and no more for the device.
 */
struct driver_mapping driver_forget(struct driver_maps *maps, void *addr);
void driver_release(const struct driver_mapping *mapping);

#endif
