/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IOTLB translates addresses that a driver writes (IOVA) to memory of this process.
 *
 * Each device has one struct iotlb, which holds the mapped regions under a lock. Each queue has a
 * struct iotlb_view, a private sorted copy. So a hit takes no lock, and reads only one number that
 * other threads write (the generation). A miss takes the lock, and gets the region through struct
 * iotlb_ops. Each front end has its own iotlb_ops, and tests have some with regions of one byte.
 *
 * Only iotlb_drop() removes regions. Its caller quiesces every queue first.
 */
#ifndef LIB_IOTLB_H
#define LIB_IOTLB_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "compiler.h"

/* One mapped range. @last is inclusive, as in the kernel, so that a region may end at 2^64 - 1. */
struct iotlb_region {
	uint64_t start;
	uint64_t last;
	uint8_t *addr; /* the address of @start in this process */
	int prot;      /* PROT_READ and/or PROT_WRITE */
};

struct iotlb_ops {
	/**
	 * @fill: map the region that contains @iova
	 *
	 * Called on the thread that had the miss, with the table's lock held. Sets all members of
	 * *@region; the table owns the region until @release.
	 *
	 * Return: 0; -EFAULT: no region there; other -errno: this process cannot map it
	 */
	int (*fill)(void *ctx, uint64_t iova, struct iotlb_region *region);

	/** @release: undo one @fill; called once for each region */
	void (*release)(void *ctx, const struct iotlb_region *region);
};

struct iotlb_table {
	struct iotlb_region *regions; /* sorted by start, disjoint */
	size_t count;
	size_t capacity;
};

struct iotlb {
	const struct iotlb_ops *ops;
	void *ctx;
	pthread_mutex_t lock;
	struct iotlb_table table;
	uint64_t generation; /* incremented at every change of the table */
};

/* A queue's private copy. Zero-initialised plus iotlb_view_init() is ready. */
struct iotlb_view {
	struct iotlb *tlb;
	struct iotlb_table table;
	struct iotlb_region hint; /* region of the last hit; prot PROT_NONE: none */
	uint64_t generation;
};

/** iotlb_init() - an empty table; @ops and @ctx must outlive it */
void iotlb_init(struct iotlb *tlb, const struct iotlb_ops *ops, void *ctx);

/** iotlb_exit() - release every region; no view may be used afterwards */
void iotlb_exit(struct iotlb *tlb);

/**
 * iotlb_drop() - release every region that intersects [@start, @last]
 *
 * The caller guarantees that no pointer from iotlb_map() into these regions is in use: the queues
 * are quiesced. The views detect the change by the generation.
 */
void iotlb_drop(struct iotlb *tlb, uint64_t start, uint64_t last);

/** iotlb_view_init() - an empty view; the first look-up fills it */
void iotlb_view_init(struct iotlb_view *view, struct iotlb *tlb);

/** iotlb_view_exit() - free the copy; pointers from iotlb_map() stay valid */
void iotlb_view_exit(struct iotlb_view *view);

/* The slow path of iotlb_map(): a miss, or a hit outside the hint. */
int __must_check iotlb_map_slow(struct iotlb_view *view, uint64_t iova, size_t *len, int prot,
				void **addr);

/**
 * iotlb_find() - the fast path of iotlb_map(): the region of the last hit contains the whole range
 *
 * With virtio-vdpa, all data is in the region of the bounce buffer, so this path is usual.
 *
 * Return: the memory; NULL: call iotlb_map()
 */
static inline void *iotlb_find(const struct iotlb_view *view, uint64_t iova, size_t len, int prot)
{
	const struct iotlb_region *hint = &view->hint;
	uint64_t at = iova - hint->start, size = hint->last - hint->start;

	if (unlikely(at > size || len - 1 > size - at || (hint->prot & prot) != prot ||
		     view->generation != load_acquire(&view->tlb->generation)))
		return NULL;
	return hint->addr + at;
}

/**
 * iotlb_map() - find the memory behind a range of IOVA
 * @view: of the calling thread
 * @iova: first byte, as the driver wrote it (untrusted)
 * @len:  in: bytes, > 0; out: bytes that are contiguous at @addr, at least 1
 * @prot: needed permissions: PROT_READ and/or PROT_WRITE
 * @addr: out; unchanged on failure
 *
 * Hit: no lock, no system call. Miss: one lock, one fill. @addr is valid until iotlb_drop().
 *
 * Return: 0        mapped; if *@len shrank, call it again for the rest
 *         -EFAULT  no such IOVA, the range wraps, or no permission: the driver is at fault
 *         other    -errno of a failed mapping: the driver is not at fault
 */
static inline int __must_check iotlb_map(struct iotlb_view *view, uint64_t iova, size_t *len,
					 int prot, void **addr)
{
	void *found = iotlb_find(view, iova, *len, prot);

	if (unlikely(!found))
		return iotlb_map_slow(view, iova, len, prot, addr);
	*addr = found;
	return 0;
}

/**
 * iotlb_region_at() - find the region that contains @addr, a result of iotlb_map() with @view
 *
 * A linear search. Return: the region, valid until the next call with @view; NULL: none
 */
const struct iotlb_region *iotlb_region_at(const struct iotlb_view *view, const void *addr);

/**
 * iotlb_read() - copy driver memory to private memory, and read each byte once
 *
 * The range may cross regions. Return: as iotlb_map(); -EFAULT also if memory is lost (sigbus.h)
 */
int __must_check iotlb_read(struct iotlb_view *view, uint64_t iova, void *buf, size_t len);

#endif
