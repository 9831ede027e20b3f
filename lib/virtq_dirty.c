// SPDX-License-Identifier: GPL-2.0-or-later
/* A virtqueue in a live migration: which memory of the guest was written? */
#include "virtq_priv.h"

static void mark_desc(struct virtq *vq, struct desc desc)
{
	if (desc.flags & VRING_DESC_F_WRITE)
		dirty_log_mark(vq->dirty, desc.addr, desc.len);
}

static void mark_indirect(struct virtq *vq, const struct desc *table)
{
	uint32_t entries = table->len / sizeof(struct vring_desc);
	struct desc desc = { .next = 0, .flags = VRING_DESC_F_NEXT };

	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		struct vring_desc raw;

		if (desc.next >= entries || walked == VIRTQ_MAX_SIZE ||
		    iotlb_read(&vq->view, table->addr + desc.next * sizeof(raw), &raw, sizeof(raw)))
			return;
		desc = desc_decode(&raw);
		mark_desc(vq, desc);
	}
}

void virtq_mark_chain(struct virtq *vq, uint16_t head)
{
	struct desc desc = { .next = head, .flags = VRING_DESC_F_NEXT };

	virtq_mark_used(vq, &vq->used->ring[vq->used_idx & vq->mask], sizeof(vq->used->ring[0]));
	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		if (desc.next >= vq->layout.num || walked == vq->layout.num)
			return;
		desc = desc_read(&vq->desc[desc.next]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			mark_indirect(vq, &desc);
			return;
		}
		mark_desc(vq, desc);
	}
}
