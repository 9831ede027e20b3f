/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of a virtual machine, registered with the ring of a queue's worker: I/O on it need not look
 * for its pages. Taken in slices, each when the first request touches it, and given back when the
 * memory is about to move.
 *
 * One object per queue, and only its worker calls here. Queues of one device on one worker share
 * what is pinned, see ring_buffer_add().
 */
#ifndef VDUSE_BLK_GUEST_MEMORY_H
#define VDUSE_BLK_GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "iotlb.h"
#include "ring.h"

/*
 * 128 MiB. Pinning a slice keeps the worker from its queues for that time (60 ms for memory the
 * guest has used, up to 200 where it has not, on a busy machine), so it is less than the 1 GiB that
 * a ring takes. 256 of them are 32 GiB of one guest, and half of the ring's table.
 */
#define GUEST_SLICE_SHIFT 27
#define GUEST_SLICES	  256

/* Neighbours in the table that a slice may use: regions may share a multiple of the slice's size. */
#define GUEST_SLICE_PROBES 4

/* A hash of where slices are: those of one region, side by side, do not collide. */
struct guest_memory {
	struct ring *ring;
	struct iotlb_view *view;
	const char *name; /* of the device */
	unsigned int shift;
	bool warned;		     /* that some memory is not registered */
	struct ring_buffer slices[]; /* GUEST_SLICES; index RING_BUFFER_NONE: do without */
};

/**
 * guest_memory_new() - none is registered yet
 * @ring:  of the worker, which calls everything but this and guest_memory_free()
 * @view:  the queue's; all memory asked for was found through it
 * @name:  of the device, for messages
 * @shift: slices begin at multiples of 1 << @shift; GUEST_SLICE_SHIFT but in tests
 *
 * Return: NULL where there is no memory
 */
struct guest_memory *guest_memory_new(struct ring *ring, struct iotlb_view *view, const char *name,
				      unsigned int shift);

/** guest_memory_free() - after guest_memory_drop(); NULL is fine */
void guest_memory_free(struct guest_memory *memory);

/**
 * guest_memory_drop() - unregister all of it: call before iotlb_drop(), with nothing in flight
 *
 * All, since the kernel names all addresses whenever it says that some have changed.
 */
void guest_memory_drop(struct guest_memory *memory);

/* The miss path of guest_memory_find(): the slice is another one's neighbour, or new. */
const struct ring_buffer *guest_memory_find_slow(struct guest_memory *memory,
						 const struct iovec *piece);

/**
 * guest_memory_find() - the registered buffer that @piece lies in
 * @piece: from virtq_pop(), not empty
 *
 * Registers the slice at its first use, which takes as long as pinning it does; no failure is tried
 * again before guest_memory_drop(). Return: it, good until that; NULL: there is none
 */
static inline const struct ring_buffer *guest_memory_find(struct guest_memory *memory,
							  const struct iovec *piece)
{
	size_t at = ((uintptr_t)piece->iov_base >> memory->shift) % GUEST_SLICES;
	const struct ring_buffer *slice = &memory->slices[at];

	if (likely(ring_buffer_has(slice, piece->iov_base, piece->iov_len) &&
		   slice->index != RING_BUFFER_NONE))
		return slice;
	return guest_memory_find_slow(memory, piece);
}

#endif
