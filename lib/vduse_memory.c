// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_memory.h"

#include <errno.h>
#include <linux/vduse.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "umem.h"
#include "vduse_kern.h"

static int prot_of(uint8_t perm)
{
	switch (perm) {
	case VDUSE_ACCESS_RO:
		return PROT_READ;
	case VDUSE_ACCESS_WO:
		return PROT_WRITE;
	case VDUSE_ACCESS_RW:
		return PROT_READ | PROT_WRITE;
	}
	return PROT_NONE;
}

static int map_entry(struct vduse_memory *memory, const struct vduse_iotlb_entry *entry,
		     int region_fd, void **addr)
{
	if (entry->last - entry->start >= DRIVER_MAP_MAX)
		return -EFBIG;
	return driver_map(&memory->maps, region_fd, entry->offset, entry->last - entry->start + 1,
			  prot_of(entry->perm), addr);
}

static void log_map_failure(struct vduse_memory *memory, const struct vduse_iotlb_entry *entry,
			    int err)
{
	if (!log_allow(&memory->fill_errors, memory->name))
		return;
	if (err == -ENOSPC)
		log_err("%s: cannot map IOVA 0x%llx to 0x%llx: the driver's memory has too many "
			"regions: this device has %u mappings, all have %u, and vm.max_map_count "
			"is %u; raise that with sysctl",
			memory->name, entry->start, entry->last, memory->maps.mappings.held,
			mappings_total(), mappings_limit());
	else
		log_err("%s: cannot map IOVA 0x%llx to 0x%llx: %s", memory->name, entry->start,
			entry->last, err == -EFBIG ? "more than 16 TiB" : strerror(-err));
}

static int umem_register(struct vduse_memory *memory, uint64_t size)
{
	struct vduse_iova_umem umem = { .iova = 0, .size = size };
	void *addr = umem_alloc(size);
	int err;

	if (!addr)
		return -ENOMEM;
	umem.uaddr = (uintptr_t)addr;
	err = vduse_kern_reg_umem(memory->fd, &umem);
	if (err) {
		umem_free(addr, size);
		return err;
	}
	memory->umem = addr;
	memory->umem_size = size;
	return 0;
}

/*
 * Fills the region of virtio-vdpa's bounce buffer with UMEM. UMEM is registered before this process
 * maps any of the kernel's bounce pages: such a mapping would keep the old pages.
 */
static int fill_umem(struct vduse_memory *memory, uint64_t iova, struct iotlb_region *region)
{
	struct vduse_iova_info info = { .start = iova, .last = iova };
	int err;

	if (vduse_kern_iotlb_info(memory->fd, &info) || !(info.capability & VDUSE_IOVA_CAP_UMEM))
		return -EFAULT;
	if (info.start || iova > info.last)
		return -EFAULT;

	if (!memory->umem) {
		err = umem_register(memory, info.last + 1);
		if (err) {
			log_warn(
				"%s: cannot register UMEM (VDUSE_IOTLB_REG_UMEM): %s; the kernel's "
				"bounce buffer is used",
				memory->name, strerror(-err));
			memory->want_umem = false;
			return err;
		}
	}
	*region = (struct iotlb_region){
		.start = 0,
		.last = info.last,
		.addr = memory->umem,
		.prot = PROT_READ | PROT_WRITE,
	};
	return 0;
}

static int fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	/* Ask for this byte only: the kernel returns the first region that overlaps the range. */
	struct vduse_iotlb_entry entry = { .start = iova, .last = iova };
	struct vduse_memory *memory = ctx;
	int region_fd, err;
	void *addr;

	if (memory->want_umem && fill_umem(memory, iova, region) == 0)
		return 0;

	region_fd = vduse_kern_iotlb_fd(memory->fd, &entry);
	if (region_fd == -EINVAL)
		return -EFAULT;
	if (region_fd < 0) {
		if (log_allow(&memory->fill_errors, memory->name))
			log_err("%s: no mapping for IOVA 0x%llx: %s", memory->name,
				(unsigned long long)iova, strerror(-region_fd));
		return region_fd;
	}

	err = map_entry(memory, &entry, region_fd, &addr);
	close(region_fd);
	if (err) {
		log_map_failure(memory, &entry, err);
		return err;
	}

	*region = (struct iotlb_region){
		.start = entry.start,
		.last = entry.last,
		.addr = addr,
		.prot = prot_of(entry.perm),
	};
	return 0;
}

static void release(void *ctx, const struct iotlb_region *region)
{
	struct vduse_memory *memory = ctx;

	if (region->addr == memory->umem)
		return; /* UMEM stays registered until the device is closed */
	driver_unmap(&memory->maps, region->addr);
}

static const struct iotlb_ops memory_ops = {
	.fill = fill,
	.release = release,
};

void vduse_memory_init(struct vduse_memory *memory, const char *name, int fd, bool umem)
{
	*memory = (struct vduse_memory){ .name = name, .fd = fd, .want_umem = umem };
	iotlb_init(&memory->tlb, &memory_ops, memory);
}

void vduse_memory_unmap(struct vduse_memory *memory)
{
	iotlb_exit(&memory->tlb);
}

void vduse_memory_free(struct vduse_memory *memory)
{
	if (memory->umem)
		umem_free(memory->umem, memory->umem_size);
}

void vduse_memory_renew(struct vduse_memory *memory)
{
	struct vduse_iova_umem umem = { .iova = 0 };
	int err;

	pthread_mutex_lock(&memory->tlb.lock);
	if (memory->umem) {
		umem.uaddr = (uintptr_t)memory->umem;
		umem.size = memory->umem_size;
		err = vduse_kern_dereg_umem(memory->fd, &umem);
		if (err && err != -ENOENT) {
			log_warn("%s: cannot deregister UMEM (VDUSE_IOTLB_DEREG_UMEM): %s; the "
				 "kernel's bounce buffer is used",
				 memory->name, strerror(-err));
			memory->want_umem = false;
		}
		umem_free(memory->umem, memory->umem_size);
		memory->umem = NULL;
	}
	pthread_mutex_unlock(&memory->tlb.lock);
}

int vduse_memory_umem(struct vduse_memory *memory, void **addr, size_t *size)
{
	int err = 0;

	pthread_mutex_lock(&memory->tlb.lock);
	*addr = memory->umem;
	*size = memory->umem_size;
	if (!memory->umem)
		err = memory->want_umem ? -EAGAIN : -ENOENT;
	pthread_mutex_unlock(&memory->tlb.lock);
	return err;
}
