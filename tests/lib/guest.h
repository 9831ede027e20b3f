/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver side of a split virtqueue (virtio 1.3, 2.7), written for tests and sharing no code
 * with lib/virtq.c.
 *
 * The guest's memory is a memfd mapped twice: the driver works in its own mapping, the device sees
 * another through an IOTLB. How it sees it is the shape: what the device takes for contiguous
 * without asking lies somewhere else. Ring parts are always one region each, as the kernel gives
 * them; all shapes but the first scatter the data area, in which buffers and indirect tables lie.
 *
 * Well-behaved driver: guest_add(), guest_publish(), guest_reap(). A hostile one writes what it
 * likes through @ring (driver_ring.h), @desc, @avail, @used and guest_write(). Misuse of this file aborts the test.
 * One thread, except that the device may map and complete from another.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <check.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "driver_ring.h"
#include "iotlb.h"

#define GUEST_PAGE 4096u

/* ck_assert() writes to the test runner even when all is well: too slow for every byte. */
#define must(cond, ...)                                                                            \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			ck_abort_msg(__VA_ARGS__);                                                 \
	} while (0)

enum guest_shape {
	GUEST_ONE_REGION,      /* rings and data together */
	GUEST_REGION_PER_PAGE, /* pages shuffled, holes between them that fault */
	GUEST_REGION_PER_BYTE, /* bytes shuffled */
	GUEST_SHAPES
};

/* Guest physical addresses, above guest->base. Between and around the areas there is nothing. */
#define GUEST_MEM	 0x40000000ull /* rings */
#define GUEST_DATA	 0x40010000ull /* data area; guest->data_size bytes */
#define GUEST_READ_ONLY	 0x50000000ull /* a page each */
#define GUEST_WRITE_ONLY 0x50010000ull
#define GUEST_TOP	 (UINT64_MAX - (GUEST_PAGE - 1)) /* the last page, whatever the base */
#define GUEST_NOWHERE	 0x60000000ull

/* Parts of a chain; those at address 0 get room from the data area, and out parts a pattern. */
#define G_OUT(n) ((struct chain_part){ .in = false, .len = (n) })
#define G_IN(n)	 ((struct chain_part){ .in = true, .len = (n) })

/* What the driver remembers of a chain until it is used. */
struct guest_chain {
	bool busy;
	struct chain_part *segs;
	size_t count;
	size_t out_bytes, in_bytes;
	uint64_t last_in; /* address of the last byte to be written, 0 where there is none */
	uint32_t seed;	  /* of the pattern in the out part */
	uint16_t last_desc, desc_count;
	size_t data_start, data_end; /* in the data area, buffers and table */
};

struct guest_area {
	uint64_t start; /* guest physical */
	size_t size;	/* bytes that the device may see */
	size_t piece;	/* bytes per region */
	int prot;
	size_t offset; /* in the memfd, page aligned */
	uint8_t *dev;  /* the device's mapping */
};

#define GUEST_AREAS_MAX 8

struct guest {
	struct iotlb tlb; /* the device's */
	int fill_error;	  /* if not 0, every miss fails with it */
	unsigned int fills, releases;

	uint64_t base;
	uint16_t num;
	bool indirect;	/* guest_add() builds indirect tables */
	bool event_idx; /* guest_publish() looks at avail_event, not at the flags */
	uint64_t desc_addr, avail_addr, used_addr;
	struct vring_desc *desc; /* of the driver's mapping */
	struct vring_avail *avail;
	struct vring_used *used;
	size_t data_size;

	struct driver_ring ring;    /* published with guest_publish() */
	uint16_t last_used;	    /* next used entry to look at */
	uint16_t busy;		    /* chains out */
	struct guest_chain *chains; /* by head */

	/* For those who give the device its memory some other way than through @tlb. */
	int memfd;
	struct guest_area areas[GUEST_AREAS_MAX];
	unsigned int area_count;

	/* Private. */
	uint8_t *mem;
	size_t mem_size;
	uint16_t *next_free; /* descriptors; a list that the device does not see */
	uint16_t first_free, free_count;
	size_t data_next; /* where the next chain's buffers go */
	uint32_t seed;
};

/**
 * guest_new() - memory and an empty ring of @num descriptors
 *
 * @indirect and @event_idx may be set afterwards. guest_free() checks that every region given out
 * came back, and so iotlb_view users must be gone.
 */
struct guest *guest_new(uint16_t num, enum guest_shape shape);

/** guest_new_at() - one of several in one address space: everything lies @base higher */
struct guest *guest_new_at(uint16_t num, enum guest_shape shape, uint64_t base);
void guest_free(struct guest *g);

/** guest_reset() - an empty ring again, as after a device reset, with all indices at @first */
void guest_reset(struct guest *g, uint16_t first);

/** guest_move() - give the device's mappings new addresses; what lay at the old ones faults */
void guest_move(struct guest *g);

/** guest_save() - all memory as it is now; guest_restore() puts it back and frees the copy */
void *guest_save(const struct guest *g);
void guest_restore(struct guest *g, void *saved);

/* Memory. Addresses are guest physical; guest_read() and guest_write() need them to be mapped. */
bool guest_has(const struct guest *g, uint64_t addr, uint64_t len, int prot);
void guest_read(struct guest *g, uint64_t addr, void *buf, size_t len);
void guest_write(struct guest *g, uint64_t addr, const void *buf, size_t len);

/** guest_device_ptr() - where the device finds the byte at @addr, or NULL */
uint8_t *guest_device_ptr(const struct guest *g, uint64_t addr);

/**
 * guest_add() - make one chain of @segs and put it into the avail ring
 *
 * Return: its head, or -ENOSPC. The device sees it after guest_publish().
 */
int guest_add_segs(struct guest *g, const struct chain_part *segs, size_t count);
#define guest_add(g, ...)                                                                          \
	guest_add_segs((g), (const struct chain_part[]){ __VA_ARGS__ },                            \
		       ARRAY_SIZE(((const struct chain_part[]){ __VA_ARGS__ })))

/** guest_publish() - move avail->idx. Return: must the device be kicked? */
bool guest_publish(struct guest *g);

/**
 * guest_reap() - take the next used entry, free its descriptors
 *
 * Return: the head, of a chain that was out; -EAGAIN: nothing there
 */
int guest_reap(struct guest *g, uint32_t *len);

/** guest_want_interrupt() - ask for one at the next used entry. Return: some came meanwhile */
bool guest_want_interrupt(struct guest *g);

/** guest_pattern() - the byte at @pos of the out part of a chain */
uint8_t guest_pattern(uint32_t seed, size_t pos);

/* The event fields behind the rings. */
uint16_t *guest_used_event(struct guest *g);
uint16_t *guest_avail_event(struct guest *g);

#endif
