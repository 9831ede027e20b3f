/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a split ring (virtio 1.3, 2.7): descriptors, the avail ring, avail->idx. It shares
 * no code with lib/virtq.c, and checks nothing: any descriptor and any head can be written.
 *
 * Unit tests (guest.h) and fuzz targets write their rings by it, each through its own access to driver
 * memory. tests/hostile has another one on purpose: it is an independent second reading of the
 * specification, and runs against a real kernel.
 */
#ifndef TESTS_DRIVER_RING_H
#define TESTS_DRIVER_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct driver_ring {
	/* Set by the caller. */
	uint16_t num;
	uint64_t desc, avail; /* addresses, as the driver writes them for the device */
	/**
	 * @write: to driver memory; where there is none, it is lost. Two bytes are written at once, and
	 * after everything that was written before
	 */
	void (*write)(void *memory, uint64_t addr, const void *from, size_t len);
	void *memory;

	uint16_t avail_idx; /* of the next avail entry, not published yet */
	uint16_t published; /* avail->idx */
};

/* A piece of a chain: what one descriptor describes. */
struct chain_part {
	bool in; /* the device writes it */
	uint32_t len;
	uint64_t addr;
};

/** driver_ring_desc() - a descriptor in ring format */
struct vring_desc driver_ring_desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);

/** driver_ring_write_desc() - write entry @index of a table, which may be the ring's or an indirect one */
void driver_ring_write_desc(struct driver_ring *ring, uint64_t table, uint32_t index,
			    struct vring_desc desc);

/** driver_ring_expose() - put @head into the avail ring, whatever it is */
void driver_ring_expose(struct driver_ring *ring, uint16_t head);

/** driver_ring_publish() - write avail->idx: the device sees what was exposed */
void driver_ring_publish(struct driver_ring *ring);

#endif
