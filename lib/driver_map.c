// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver_map.h"

#include <errno.h>
#include <sys/mman.h>

#include "sigbus.h"

int driver_map(struct driver_maps *maps, int fd, uint64_t offset, uint64_t size, int prot,
	       void **addr)
{
	int err;

	if (!size || size > DRIVER_MAP_MAX - maps->bytes)
		return -EFBIG;
	err = mappings_reserve(&maps->mappings);
	if (err)
		return err;
	*addr = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
	if (*addr == MAP_FAILED) {
		err = -errno;
		goto err_give;
	}
	err = sigbus_guard_range(*addr, size);
	if (err)
		goto err_unmap;
	munlock(*addr, size);
	madvise(*addr, size, MADV_DONTDUMP);
	maps->bytes += size;
	return 0;

err_unmap:
	munmap(*addr, size);
err_give:
	mappings_release(&maps->mappings);
	return err;
}

void driver_unmap(struct driver_maps *maps, void *addr, uint64_t size)
{
	sigbus_unguard_range(addr);
	munmap(addr, size);
	mappings_release(&maps->mappings);
	maps->bytes -= size;
}
