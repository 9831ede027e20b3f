// SPDX-License-Identifier: GPL-2.0-or-later
#include "iotlb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sigbus.h"

/* A limit against hostile drivers. The kernel's own limit is 2048 (max_iotlb_entries). */
#define IOTLB_MAX_REGIONS 4096

static const struct iotlb_region no_region = { .start = 1, .last = 0, .prot = PROT_NONE };

/* Return: the index of the first region that ends at or after @iova: a hit, or where to insert */
static size_t table_search(const struct iotlb_table *table, uint64_t iova)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (table->regions[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct iotlb_region *table_find(const struct iotlb_table *table, uint64_t iova)
{
	size_t i = table_search(table, iova);

	if (i == table->count || table->regions[i].start > iova)
		return NULL;
	return &table->regions[i];
}

static int table_reserve(struct iotlb_table *table, size_t count)
{
	struct iotlb_region *regions;
	size_t capacity;

	if (count <= table->capacity)
		return 0;
	capacity = MAX(count, table->capacity * 2);
	regions = realloc(table->regions, capacity * sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	table->regions = regions;
	table->capacity = capacity;
	return 0;
}

static void table_insert(struct iotlb_table *table, const struct iotlb_region *region)
{
	size_t at = table_search(table, region->start);

	memmove(&table->regions[at + 1], &table->regions[at],
		(table->count - at) * sizeof(*region));
	table->regions[at] = *region;
	table->count++;
}

static bool region_is_sane(const struct iotlb_table *table, const struct iotlb_region *region,
			   uint64_t iova)
{
	size_t at = table_search(table, region->start);

	if (region->start > iova || region->last < iova)
		return false;
	return at == table->count || table->regions[at].start > region->last;
}

void iotlb_init(struct iotlb *tlb, const struct iotlb_ops *ops, void *ctx)
{
	memset(tlb, 0, sizeof(*tlb));
	tlb->ops = ops;
	tlb->ctx = ctx;
	tlb->generation = 1;
	pthread_mutex_init(&tlb->lock, NULL);
}

void iotlb_exit(struct iotlb *tlb)
{
	iotlb_drop(tlb, 0, UINT64_MAX);
	free(tlb->table.regions);
	pthread_mutex_destroy(&tlb->lock);
}

void iotlb_drop(struct iotlb *tlb, uint64_t start, uint64_t last)
{
	struct iotlb_table *table = &tlb->table;
	size_t kept = 0;

	pthread_mutex_lock(&tlb->lock);
	for (size_t i = 0; i < table->count; i++) {
		struct iotlb_region *region = &table->regions[i];

		if (region->last >= start && region->start <= last)
			tlb->ops->release(tlb->ctx, region);
		else
			table->regions[kept++] = *region;
	}
	table->count = kept;
	/* Pairs with load_acquire() in iotlb_map(): views that copied the old table are stale. */
	store_release(&tlb->generation, tlb->generation + 1);
	pthread_mutex_unlock(&tlb->lock);
}

/* With the lock held: find or fill the region of @iova. */
static int iotlb_lookup(struct iotlb *tlb, uint64_t iova)
{
	struct iotlb_region region;
	int err;

	if (table_find(&tlb->table, iova))
		return 0;
	if (tlb->table.count == IOTLB_MAX_REGIONS)
		return -ENOSPC;
	err = table_reserve(&tlb->table, tlb->table.count + 1);
	if (err)
		return err;

	err = tlb->ops->fill(tlb->ctx, iova, &region);
	if (err)
		return err;
	if (!region_is_sane(&tlb->table, &region, iova)) {
		tlb->ops->release(tlb->ctx, &region);
		return -EFAULT;
	}
	table_insert(&tlb->table, &region);
	store_release(&tlb->generation, tlb->generation + 1);
	return 0;
}

static int view_refresh(struct iotlb_view *view, uint64_t iova)
{
	struct iotlb *tlb = view->tlb;
	int err;

	pthread_mutex_lock(&tlb->lock);
	err = iotlb_lookup(tlb, iova);
	if (!err)
		err = table_reserve(&view->table, tlb->table.count);
	if (!err) {
		memcpy(view->table.regions, tlb->table.regions,
		       tlb->table.count * sizeof(*view->table.regions));
		view->table.count = tlb->table.count;
		view->generation = tlb->generation;
		view->hint = no_region;
	}
	pthread_mutex_unlock(&tlb->lock);
	return err;
}

void iotlb_view_init(struct iotlb_view *view, struct iotlb *tlb)
{
	memset(view, 0, sizeof(*view));
	view->tlb = tlb;
	view->hint = no_region;
}

void iotlb_view_exit(struct iotlb_view *view)
{
	free(view->table.regions);
	memset(view, 0, sizeof(*view));
	view->hint = no_region;
}

int iotlb_map_slow(struct iotlb_view *view, uint64_t iova, size_t *len, int prot, void **addr)
{
	const struct iotlb_region *region = NULL;
	uint64_t room;
	int err;

	if (*len == 0 || iova + (*len - 1) < iova)
		return -EFAULT;

	if (view->generation == load_acquire(&view->tlb->generation))
		region = table_find(&view->table, iova);
	if (!region) {
		err = view_refresh(view, iova);
		if (err)
			return err;
		region = table_find(&view->table, iova);
	}
	if ((region->prot & prot) != prot)
		return -EFAULT;

	view->hint = *region;
	room = region->last - iova;
	if (*len - 1 > room)
		*len = room + 1;
	*addr = region->addr + (iova - region->start);
	return 0;
}

const struct iotlb_region *iotlb_region_at(const struct iotlb_view *view, const void *addr)
{
	for (size_t i = 0; i < view->table.count; i++) {
		const struct iotlb_region *region = &view->table.regions[i];

		if ((uintptr_t)addr - (uintptr_t)region->addr <= region->last - region->start)
			return region;
	}
	return NULL;
}

int iotlb_read(struct iotlb_view *view, uint64_t iova, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		size_t piece = len;
		void *from;
		int err = iotlb_map(view, iova, &piece, PROT_READ, &from);

		if (err)
			return err;
		memcpy(to, from, piece);
		if (sigbus_is_lost(from, piece))
			return -EFAULT;
		to += piece;
		iova += piece;
		len -= piece;
	}
	return 0;
}
