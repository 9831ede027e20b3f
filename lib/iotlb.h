/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IOTLB: from the addresses a driver writes (IOVA) to memory of this process.
 *
 * One struct iotlb per device holds the regions that are mapped, under a lock. Each queue looks
 * through its own struct iotlb_view: a private sorted copy, so that a hit takes no lock and
 * touches nothing that another thread writes. A miss takes the lock and asks for the region
 * through struct iotlb_ops, which is a parameter: the queues can be used by another front end, and
 * tests pass regions of one byte.
 *
 * A region leaves only by iotlb_drop(), whose caller has made every queue idle first.
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
	uint8_t *addr; /* where @start lies in this process */
	int prot;      /* PROT_READ and/or PROT_WRITE */
};

struct iotlb_ops {
	/**
	 * @fill: map the region that contains @iova
	 *
	 * Called under the table's lock, on the thread that missed. Fills all of *@region; the
	 * table owns it until @release.
	 *
	 * Return: 0; -EFAULT: nothing there; other -errno: the mapping failed on our side
	 */
	int (*fill)(void *ctx, uint64_t iova, struct iotlb_region *region);

	/** @release: undo one @fill; called once for each region filled */
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
	uint64_t generation; /* moves on with every change of the table */
};

/* A queue's private copy. Zero-initialised plus iotlb_view_init() is ready. */
struct iotlb_view {
	struct iotlb *tlb;
	struct iotlb_table table;
	struct iotlb_region hint; /* region of the last hit; PROT_NONE when there is none */
	uint64_t generation;
};

/** iotlb_init() - an empty table; @ops and @ctx must outlive it */
void iotlb_init(struct iotlb *tlb, const struct iotlb_ops *ops, void *ctx);

/** iotlb_exit() - release every region; all views must be gone or never used again */
void iotlb_exit(struct iotlb *tlb);

/**
 * iotlb_drop() - release every region that intersects [@start, @last]
 *
 * The caller guarantees that no pointer from iotlb_map() into them is in use any more: queues
 * paused, nothing in flight. Views notice by themselves.
 */
void iotlb_drop(struct iotlb *tlb, uint64_t start, uint64_t last);

/** iotlb_view_init() - an empty view; the first look-up fills it */
void iotlb_view_init(struct iotlb_view *view, struct iotlb *tlb);

/** iotlb_view_exit() - free the copy; pointers from iotlb_map() stay good */
void iotlb_view_exit(struct iotlb_view *view);

/* The miss path of iotlb_map(), and of a hit outside the hint. */
int __must_check iotlb_map_slow(struct iotlb_view *view, uint64_t iova, size_t *len, int prot,
				void **addr);

/**
 * iotlb_find() - iotlb_map() where the last region that was hit has all of it
 *
 * virtio-vdpa: all data lies in the one bounce region, so this is the whole translation.
 *
 * Return: the memory; NULL: ask iotlb_map()
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
 * @len:  in: bytes wanted, > 0; out: bytes that are contiguous at @addr, 1 ... wanted
 * @prot: PROT_READ and/or PROT_WRITE needed
 * @addr: out; untouched on failure
 *
 * Hit: no lock, no system call. Miss: one lock, one fill. @addr is good until iotlb_drop().
 *
 * Return: 0        mapped; call again for the rest where *@len shrank
 *         -EFAULT  no such IOVA, it wraps, or permission is missing: the driver is at fault
 *         other    -errno of a failed mapping: we are at fault
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
 * iotlb_region_at() - which region has the byte at @addr, that iotlb_map() gave through @view?
 *
 * Looks through all of them. Return: it, until the next call with @view; NULL: none of them
 */
const struct iotlb_region *iotlb_region_at(const struct iotlb_view *view, const void *addr);

/**
 * iotlb_read() - copy driver memory into private memory, each byte read once
 *
 * The range may cross regions. Return: as iotlb_map(); -EFAULT as well where memory is lost
 * (sigbus.h)
 */
int __must_check iotlb_read(struct iotlb_view *view, uint64_t iova, void *buf, size_t len);

#endif
