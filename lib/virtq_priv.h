/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by virtq.c and virtq_rings.c. */
#ifndef LIB_VIRTQ_PRIV_H
#define LIB_VIRTQ_PRIV_H

#include "sigbus.h"
#include "virtq.h"

/* Is @head in flight, or pushed and not published? */
static inline bool virtq_head_is_taken(const struct virtq *vq, uint16_t head)
{
	return vq->taken[head / 8] & (1u << (head % 8));
}

/* It is taken, or given back. */
static inline void virtq_head_toggle(struct virtq *vq, uint16_t head)
{
	vq->taken[head / 8] ^= (uint8_t)(1u << (head % 8));
}

/* Did the last reads of the rings return zeroes of a replaced page (sigbus.h)? */
static inline bool virtq_rings_are_lost(const struct virtq *vq)
{
	const size_t num = vq->layout.num;

	if (likely(!sigbus_any_lost()))
		return false;
	return sigbus_is_lost(vq->desc, sizeof(struct vring_desc) * num) ||
	       sigbus_is_lost(vq->avail, 6 + 2 * num) ||
	       sigbus_is_lost(vq->used, 6 + sizeof(struct vring_used_elem) * num);
}

#endif
