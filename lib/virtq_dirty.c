// SPDX-License-Identifier: GPL-2.0-or-later
/* A virtqueue in a live migration: which memory of the guest was written? */
#include "virtq_priv.h"

/* What remains to be marked of one chain. */
struct marking {
	struct virtq *vq;
	uint64_t left;	  /* bytes that were written at the beginning of the writable part */
	struct desc last; /* the last writable descriptor; len 0: none yet */
};

static void mark_desc(struct marking *marking, struct desc desc)
{
	uint64_t len = MIN(marking->left, (uint64_t)desc.len);

	if (!(desc.flags & VRING_DESC_F_WRITE) || !desc.len)
		return;
	dirty_log_mark(marking->vq->dirty, desc.addr, len);
	if (marking->left != UINT64_MAX)
		marking->left -= len;
	marking->last = desc;
}

static void mark_indirect(struct marking *marking, const struct desc *table)
{
	uint32_t entries = table->len / sizeof(struct vring_desc);
	struct desc desc = { .next = 0, .flags = VRING_DESC_F_NEXT };

	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		struct vring_desc raw;

		if (desc.next >= entries || walked == VIRTQ_MAX_SIZE ||
		    iotlb_read(&marking->vq->view, table->addr + desc.next * sizeof(raw), &raw,
			       sizeof(raw)))
			return;
		desc = desc_decode(&raw);
		mark_desc(marking, desc);
	}
}

static void mark_chain(struct marking *marking, uint16_t head)
{
	const struct virtq *vq = marking->vq;
	struct desc desc = { .next = head, .flags = VRING_DESC_F_NEXT };

	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		if (desc.next >= vq->layout.num || walked == vq->layout.num)
			return;
		desc = desc_read(&vq->desc[desc.next]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			mark_indirect(marking, &desc);
			return;
		}
		mark_desc(marking, desc);
	}
}

void virtq_mark_chain(struct virtq *vq, uint16_t head, uint32_t len)
{
	struct marking marking = { .vq = vq, .left = len == UINT32_MAX ? UINT64_MAX : len };

	virtq_mark_used(vq, &vq->used->ring[vq->used_idx & vq->mask], sizeof(vq->used->ring[0]));
	mark_chain(&marking, head);
	if (marking.last.len) /* the status byte, which @len does not always count */
		dirty_log_mark(vq->dirty, marking.last.addr + marking.last.len - 1, 1);
}
