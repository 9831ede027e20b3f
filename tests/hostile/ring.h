/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a split ring in shared memory (virtio 1.3, 2.7), written by hand: every
 * field can be set to anything. It remembers only where it is in the two rings; which descriptors
 * are free is the caller's business.
 */
#ifndef TESTS_HOSTILE_RING_H
#define TESTS_HOSTILE_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

/* Where the parts lie in the memory of one ring. */
#define RING_AVAIL 0x4000u
#define RING_USED  0x8000u
#define RING_BYTES 0x10000u

struct ring {
	uint16_t num;
	uint64_t iova;		 /* of the memory, and of the descriptors at its beginning */
	struct vring_desc *desc; /* this process's view */
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail;
	uint16_t last_used;
	int kick_fd;
	int call_fd;
};

/** ring_init() - an empty ring in RING_BYTES of memory, with its two eventfds */
void ring_init(struct ring *ring, uint8_t *memory, uint64_t iova, uint16_t num);

/** ring_clear() - as new, with both indices at @first */
void ring_clear(struct ring *ring, uint16_t first);

/** ring_move() - the same ring, in other memory of this process */
void ring_move(struct ring *ring, uint8_t *memory);

/** ring_desc() - a descriptor in ring format */
struct vring_desc ring_desc(uint64_t iova, uint32_t len, uint16_t flags, uint16_t next);

/** ring_offer() - put a head into the next avail entry; not visible yet */
void ring_offer(struct ring *ring, uint16_t head);

/** ring_publish() - make what was offered visible, and kick whatever the device says */
void ring_publish(struct ring *ring);
void ring_kick(struct ring *ring);

/** ring_reap() - take the next used entry. Return: there was one */
bool ring_reap(struct ring *ring, struct vring_used_elem *elem);

/** ring_wait() - the same, and wait for it. Return: one came in @ms */
bool ring_wait(struct ring *ring, struct vring_used_elem *elem, unsigned int ms);

/** ring_wait_irq() - the same, but only an interrupt wakes it: a lost one is a failure */
bool ring_wait_irq(struct ring *ring, struct vring_used_elem *elem, unsigned int ms);

#endif
