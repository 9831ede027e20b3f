// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct guest_memory *guest_memory_new(struct ring *ring, struct iotlb_view *view, const char *name,
				      unsigned int shift)
{
	struct guest_memory *memory;

	memory = calloc(1, sizeof(*memory) + GUEST_SLICES * sizeof(memory->slices[0]));
	if (!memory)
		return NULL;
	memory->ring = ring;
	memory->view = view;
	memory->name = name;
	memory->shift = shift;
	return memory;
}

void guest_memory_free(struct guest_memory *memory)
{
	free(memory);
}

void guest_memory_drop(struct guest_memory *memory)
{
	for (size_t i = 0; i < GUEST_SLICES; i++) {
		struct ring_buffer *slice = &memory->slices[i];

		if (slice->index == RING_BUFFER_NONE)
			*slice = (struct ring_buffer){ 0 };
		else
			ring_buffer_remove(memory->ring, slice);
	}
}

/* The part of a region that lies in the same multiple of the slice's size as @addr does. */
static struct ring_buffer slice_at(const struct iotlb_region *region, uint8_t *addr,
				   unsigned int shift)
{
	uintptr_t size = (uintptr_t)1 << shift;
	uintptr_t first = (uintptr_t)addr & ~(size - 1);
	uintptr_t last = first + (size - 1);
	uintptr_t region_first = (uintptr_t)region->addr;
	uintptr_t region_last = region_first + (region->last - region->start);

	first = MAX(first, region_first);
	last = MIN(last, region_last);
	return (struct ring_buffer){
		.addr = addr - ((uintptr_t)addr - first),
		.len = last - first + 1,
		.index = RING_BUFFER_NONE,
	};
}

static const char *reason(int err)
{
	return err == -ENOSPC ? "the worker's table of registered buffers is full" : strerror(-err);
}

/* A driver could cause this at every reset, so it is logged once. */
static void warn_once(struct guest_memory *memory, const struct ring_buffer *slice, int err)
{
	if (memory->warned)
		return;
	memory->warned = true;
	log_warn("%s: cannot register %zu bytes of guest memory with io_uring: %s", memory->name,
		 slice->len, reason(err));
}

static const struct ring_buffer *slice_add(struct guest_memory *memory, struct ring_buffer *slice,
					   void *addr)
{
	const struct iotlb_region *region = iotlb_region_at(memory->view, addr);
	int err;

	if (!region)
		return NULL;
	*slice = slice_at(region, addr, memory->shift);
	err = ring_buffer_add(memory->ring, slice, slice->addr, slice->len);
	if (!err)
		return slice;
	warn_once(memory, slice, err);
	return NULL;
}

const struct ring_buffer *guest_memory_find_slow(struct guest_memory *memory,
						 const struct iovec *piece)
{
	size_t first = (uintptr_t)piece->iov_base >> memory->shift;

	for (size_t i = 0; i < GUEST_SLICE_PROBES; i++) {
		struct ring_buffer *slice = &memory->slices[(first + i) % GUEST_SLICES];

		if (!slice->len)
			return slice_add(memory, slice, piece->iov_base);
		if (ring_buffer_has(slice, piece->iov_base, 1))
			return slice->index == RING_BUFFER_NONE ? NULL : slice;
	}
	return NULL;
}
