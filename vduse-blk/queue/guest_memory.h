/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that is registered with the io_uring of a queue's worker: the kernel pins its pages
 * once, and not for each request. The memory is divided into slices. The first request that touches
 * a slice registers it. All slices are unregistered before memory moves.
 *
 * One object for each queue, used by its worker only. Queues of one device on one worker share the
 * registered memory, see ring_buffer_add().
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
 * 128 MiB. io_uring accepts 1 GiB, but to pin a slice blocks the worker: for 60 ms where the guest
 * has used the memory, up to 200 ms where not, on a busy machine. 256 slices are 32 GiB of one
 * guest, and half of the ring's table.
 */
#define GUEST_SLICE_SHIFT 27
#define GUEST_SLICES	  256

/* Entries to search for a slice: two regions can lie in one multiple of the slice's size. */
#define GUEST_SLICE_PROBES 4

/* A hash table, by address: adjacent slices of one region do not collide. */
struct guest_memory {
	struct ring *ring;
	struct iotlb_view *view;
	const char *name; /* of the device */
	unsigned int shift;
	bool warned; /* a failed registration was logged */
	struct ring_buffer
		slices[]; /* GUEST_SLICES; index RING_BUFFER_NONE: cannot be registered */
};

/**
 * guest_memory_new() - an object without registered memory; any thread
 * @ring:  the worker's
 * @view:  the queue's; it must contain all memory that guest_memory_find() is called for
 * @name:  of the device, for log lines
 * @shift: slices begin at multiples of 1 << @shift: GUEST_SLICE_SHIFT, less in tests
 *
 * Return: NULL: no memory
 */
struct guest_memory *guest_memory_new(struct ring *ring, struct iotlb_view *view, const char *name,
				      unsigned int shift);

/** guest_memory_free() - after guest_memory_drop(); any thread. NULL: no effect */
void guest_memory_free(struct guest_memory *memory);

/**
 * guest_memory_drop() - unregister all slices; call it before iotlb_drop(), with nothing in flight
 *
 * All slices, since UPDATE_IOTLB always names the whole address space.
 */
void guest_memory_drop(struct guest_memory *memory);

/* The slow path of guest_memory_find(): the slice is in another entry, or new. */
const struct ring_buffer *guest_memory_find_slow(struct guest_memory *memory,
						 const struct iovec *piece);

/**
 * guest_memory_find() - the registered buffer that contains @piece
 * @piece: from virtq_pop(), not empty
 *
 * Registers the slice at its first use, and blocks while the kernel pins it. After a failure it
 * does not try that slice again before guest_memory_drop(). Return: the buffer, valid until
 * guest_memory_drop(); NULL: none
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
