// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sigbus.h"

/* While munmap() runs, no other thread of the process can map or unmap anything. */
#define UNMAP_SLICE (64ull << 20)

/*
 * The page size of shared memory. A mapping of hugetlbfs consists of whole huge pages. Only shmem and
 * hugetlbfs have seals, and fcntl() asks no file server for them: so fstat() does not block.
 */
static uint64_t page_size(int fd)
{
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) || st.st_blksize & (st.st_blksize - 1))
		return 1;
	return (uint64_t)st.st_blksize;
}

int driver_map(struct driver_maps *maps, int fd, uint64_t offset, uint64_t size, int prot,
	       void **addr)
{
	uint64_t page = page_size(fd), before = offset & (page - 1), whole;
	uint8_t *start;
	int err;

	if (!size || size > DRIVER_MAP_MAX)
		return -EFBIG;
	whole = ROUND_UP(before + size, page);
	if (whole > DRIVER_MAP_MAX - maps->bytes)
		return -EFBIG;
	err = mappings_reserve(&maps->mappings);
	if (err)
		return err;
	start = mmap(NULL, whole, prot, MAP_SHARED, fd, (off_t)(offset - before));
	if (start == MAP_FAILED) {
		err = -errno;
		goto err_give;
	}
	err = sigbus_guard_range(start, whole);
	if (err)
		goto err_unmap;
	munlock(start, whole);
	madvise(start, whole, MADV_DONTDUMP);
	maps->bytes += whole;
	*addr = start + before;
	return 0;

err_unmap:
	munmap(start, whole);
err_give:
	mappings_forget(&maps->mappings);
	mappings_release();
	return err;
}

struct driver_mapping driver_forget(struct driver_maps *maps, void *addr)
{
	struct iovec range = sigbus_unguard_range(addr);

	mappings_forget(&maps->mappings);
	maps->bytes -= range.iov_len;
	return (struct driver_mapping){ .start = range.iov_base, .size = range.iov_len };
}

void driver_release(const struct driver_mapping *mapping)
{
	uint8_t *start = mapping->start;
	uint64_t left = mapping->size;

	/* Pages of 1 GiB cannot be unmapped in slices, and need none: there are few of them. */
	while (left > UNMAP_SLICE && !munmap(start, UNMAP_SLICE)) {
		start += UNMAP_SLICE;
		left -= UNMAP_SLICE;
	}
	munmap(start, left);
	mappings_release();
}

void driver_unmap(struct driver_maps *maps, void *addr)
{
	struct driver_mapping mapping = driver_forget(maps, addr);

	driver_release(&mapping);
}
