// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* All regions, and a dirty log. */
#define UNUSED_MAX (VHOST_USER_SLOTS_MAX + 1)

/* The region that contains @guest_addr; the IOTLB keeps the addresses, the table the mapping. */
static int fill(void *ctx, uint64_t guest_addr, struct iotlb_region *out)
{
	const struct vhost_user_memory *memory = ctx;

	for (unsigned int i = 0; i < memory->count; i++) {
		const struct vhost_user_mapped *mapped = &memory->regions[i];
		const struct vhost_user_region *region = &mapped->region;

		if (guest_addr - region->guest_addr >= region->size)
			continue;
		*out = (struct iotlb_region){
			.start = region->guest_addr,
			.last = region->guest_addr + (region->size - 1),
			.addr = mapped->addr,
			.prot = PROT_READ | PROT_WRITE,
		};
		return 0;
	}
	return -EFAULT;
}

static void release(void *ctx, const struct iotlb_region *region)
{
	(void)ctx;
	(void)region;
}

static const struct iotlb_ops memory_ops = {
	.fill = fill,
	.release = release,
};

int vhost_user_memory_init(struct vhost_user_memory *memory)
{
	*memory = (struct vhost_user_memory){ .count = 0 };
	memory->regions = calloc(VHOST_USER_SLOTS_MAX, sizeof(*memory->regions));
	memory->unused = calloc(UNUSED_MAX, sizeof(*memory->unused));
	if (!memory->regions || !memory->unused) {
		free(memory->regions);
		free(memory->unused);
		return -ENOMEM;
	}
	iotlb_init(&memory->tlb, &memory_ops, memory);
	return 0;
}

void vhost_user_memory_exit(struct vhost_user_memory *memory)
{
	const struct driver_mapping *unused;
	unsigned int count;

	vhost_user_memory_clear(memory);
	count = vhost_user_memory_take_unused(memory, &unused);
	for (unsigned int i = 0; i < count; i++)
		driver_release(&unused[i]);
	iotlb_exit(&memory->tlb);
	free(memory->regions);
	free(memory->unused);
}

/* Do [@a, @a + @a_size) and [@b, @b + @b_size) overlap? Neither wraps. */
static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static bool wraps(uint64_t start, uint64_t size)
{
	return start + size < start;
}

static const char *check_region(const struct vhost_user_memory *memory,
				const struct vhost_user_region *r)
{
	if (!r->size)
		return "is empty";
	if (wraps(r->guest_addr, r->size) || wraps(r->user_addr, r->size) ||
	    wraps(r->mmap_offset, r->size))
		return "ends behind the last address";
	if (memory->count == VHOST_USER_SLOTS_MAX)
		return "is one more than this server accepts (GET_MAX_MEM_SLOTS)";
	for (unsigned int i = 0; i < memory->count; i++) {
		const struct vhost_user_region *other = &memory->regions[i].region;

		if (overlap(r->guest_addr, r->size, other->guest_addr, other->size) ||
		    overlap(r->user_addr, r->size, other->user_addr, other->size))
			return "overlaps another one";
	}
	return NULL;
}

/*
 * Only shmem and hugetlbfs have seals, and fcntl() asks no file server for them. So the following
 * fstat() cannot block.
 */
static const char *check_file(const struct vhost_user_region *r, int fd)
{
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return "is not shared memory; accepted: memfd, or a file in tmpfs or hugetlbfs (QEMU: "
		       "-object memory-backend-memfd,share=on)";
	if (fstat(fd, &st))
		return strerror(errno);
	return r->mmap_offset + r->size > (uint64_t)st.st_size ? "is larger than its file" : NULL;
}

int vhost_user_memory_add(struct vhost_user_memory *memory, const struct vhost_user_region *region,
			  int fd, const char **why)
{
	void *addr;
	int err;

	*why = check_region(memory, region);
	if (!*why)
		*why = check_file(region, fd);
	if (*why)
		return -EINVAL;

	err = driver_map(&memory->maps, fd, region->mmap_offset, region->size,
			 PROT_READ | PROT_WRITE, &addr);
	if (err) {
		*why = err == -ENOSPC ? "needs one more mapping than this disk may have; raise "
					"sysctl vm.max_map_count"
				      : strerror(-err);
		return err;
	}
	memory->regions[memory->count++] =
		(struct vhost_user_mapped){ .region = *region, .addr = addr, .fd = fd };
	return 0;
}

void vhost_user_memory_discard(struct vhost_user_memory *memory, void *addr)
{
	struct driver_mapping mapping = driver_forget(&memory->maps, addr);

	if (memory->unused_count < UNUSED_MAX)
		memory->unused[memory->unused_count++] = mapping;
	else
		driver_release(&mapping);
}

unsigned int vhost_user_memory_take_unused(struct vhost_user_memory *memory,
					   const struct driver_mapping **unused)
{
	unsigned int count = memory->unused_count;

	*unused = memory->unused;
	memory->unused_count = 0;
	return count;
}

static void discard(struct vhost_user_memory *memory, struct vhost_user_mapped *mapped)
{
	const struct vhost_user_region *region = &mapped->region;

	iotlb_drop(&memory->tlb, region->guest_addr, region->guest_addr + (region->size - 1));
	vhost_user_memory_discard(memory, mapped->addr);
	if (mapped->fd >= 0)
		close(mapped->fd); /* the mapping keeps the memory */
}

int vhost_user_memory_remove(struct vhost_user_memory *memory,
			     const struct vhost_user_region *region)
{
	for (unsigned int i = 0; i < memory->count; i++) {
		struct vhost_user_mapped *mapped = &memory->regions[i];

		if (mapped->region.guest_addr != region->guest_addr ||
		    mapped->region.user_addr != region->user_addr ||
		    mapped->region.size != region->size)
			continue;
		discard(memory, mapped);
		*mapped = memory->regions[--memory->count];
		return 0;
	}
	return -ENOENT;
}

void vhost_user_memory_clear(struct vhost_user_memory *memory)
{
	while (memory->count)
		discard(memory, &memory->regions[--memory->count]);
}

int vhost_user_memory_guest_addr(const struct vhost_user_memory *memory, uint64_t user_addr,
				 uint64_t *guest_addr)
{
	for (unsigned int i = 0; i < memory->count; i++) {
		const struct vhost_user_region *region = &memory->regions[i].region;

		if (user_addr - region->user_addr < region->size) {
			*guest_addr = region->guest_addr + (user_addr - region->user_addr);
			return 0;
		}
	}
	return -EFAULT;
}
