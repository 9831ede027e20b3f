/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by virtq.c and virtq_rings.c. */
#ifndef LIB_VIRTQ_PRIV_H
#define LIB_VIRTQ_PRIV_H

#include <endian.h>
#include <string.h>

#include "sigbus.h"
#include "virtq.h"

/* A descriptor in private memory and native byte order. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/** desc_decode() - from the byte order of the ring */
static inline struct desc desc_decode(const struct vring_desc *raw)
{
	return (struct desc){
		.addr = le64toh(raw->addr),
		.len = le32toh(raw->len),
		.flags = le16toh(raw->flags),
		.next = le16toh(raw->next),
	};
}

/** desc_read() - copies 16 bytes that the driver may change at any time. Only the copy is used. */
static inline struct desc desc_read(const struct vring_desc *at)
{
	struct vring_desc raw;

	memcpy(&raw, at, sizeof(raw));
	copied_to(&raw);
	return desc_decode(&raw);
}

/**
 * virtq_mark_chain() - the last used element was written for @head: mark what was written for it
 * @len: as virtq_push()
 *
 * Marks in the dirty log the used element, the first @len bytes that the chain permits to write, and the
 * last one. Walks the chain again, which costs less than to keep the addresses of all requests while no
 * migration runs. A driver that has changed the chain damages its own memory only. Not more than @len: a
 * hostile chain may name the whole memory of the guest a thousand times.
 */
void __cold virtq_mark_chain(struct virtq *vq, uint16_t head, uint32_t len);

/** virtq_mark_used() - mark bytes of the used ring in the dirty log; no effect without one */
static inline void virtq_mark_used(struct virtq *vq, const void *at, size_t len)
{
	if (unlikely(vq->dirty))
		dirty_log_mark(vq->dirty,
			       vq->dirty_used +
				       (uint64_t)((const uint8_t *)at - (const uint8_t *)vq->used),
			       len);
}

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
