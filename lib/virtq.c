// SPDX-License-Identifier: GPL-2.0-or-later
#include "virtq_priv.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

bool virtq_has_work(struct virtq *vq)
{
	if (unlikely(vq->broken))
		return false;
	if (unlikely(virtq_replays_left(vq)))
		return true;
	/* Pairs with the driver's barrier before it moves avail->idx (virtio 1.3, 2.7.13.3.1). */
	vq->avail_seen = le16toh(load_acquire(&vq->avail->idx));
	return vq->avail_seen != vq->last_avail;
}

/* Return: 0; -EPROTO: too many pieces */
static int chain_add(struct virtq_chain *chain, void *addr, size_t len, bool in)
{
	uint32_t at = chain->out_count + chain->in_count;

	if (unlikely(at == VIRTQ_MAX_IOV))
		return -EPROTO;
	chain->iov[at] = (struct iovec){ .iov_base = addr, .iov_len = len };
	if (in)
		chain->in_count++;
	else
		chain->out_count++;
	return 0;
}

/* The slow path of chain_map(): the range crosses regions, or is not in that of the last hit. */
static int __cold chain_map_pieces(struct virtq *vq, struct virtq_chain *chain, uint64_t iova,
				   size_t left, bool in)
{
	int full = 0;

	while (left) {
		size_t len = left;
		void *addr;
		int err = iotlb_map(&vq->view, iova, &len, in ? PROT_WRITE : PROT_READ, &addr);

		if (unlikely(err))
			return err;
		if (likely(!full))
			full = chain_add(chain, addr, len, in);
		iova += len;
		left -= len;
	}
	return full;
}

static int chain_map(struct virtq *vq, struct virtq_chain *chain, uint64_t iova, size_t len,
		     bool in)
{
	void *addr = iotlb_find(&vq->view, iova, len, in ? PROT_WRITE : PROT_READ);

	if (unlikely(!addr))
		return chain_map_pieces(vq, chain, iova, len, in);
	return chain_add(chain, addr, len, in);
}

/*
 * Appends the memory of one descriptor. After a fault no memory is mapped, since the data are not
 * used, and a hostile chain may refer to thousands of regions a thousand times. The walk continues,
 * to find the status byte.
 */
static void chain_add_desc(struct virtq *vq, struct virtq_chain *chain, struct desc desc,
			   struct desc *last_in)
{
	bool in = desc.flags & VRING_DESC_F_WRITE;

	if (unlikely(!desc.len))
		return;
	if (in) {
		chain->in_bytes += desc.len;
		*last_in = desc;
	} else {
		chain->out_bytes += desc.len;
	}
	if (unlikely(chain->fault))
		return;
	if (unlikely(!in && chain->in_bytes))
		chain->fault = -EPROTO; /* virtio 1.3, 2.7.4.2: readable parts come first */
	else
		chain->fault = chain_map(vq, chain, desc.addr, desc.len, in);
}

/* The last writable byte, for the status. Other parts of the chain may be invalid. */
static uint8_t *find_last_byte(struct virtq *vq, const struct desc *desc)
{
	uint64_t iova = desc->addr + desc->len - 1;
	size_t len = 1;
	void *addr;

	if (!desc->len || iova < desc->addr || iotlb_map(&vq->view, iova, &len, PROT_WRITE, &addr))
		return NULL;
	return addr;
}

static int chain_add_indirect(struct virtq *vq, struct virtq_chain *chain, const struct desc *table,
			      struct desc *last_in)
{
	uint32_t entries = table->len / sizeof(struct vring_desc);
	struct desc desc = { .next = 0, .flags = VRING_DESC_F_NEXT };

	/* virtio 1.3, 2.7.5.3: not negotiated, a wrong size, empty, or followed by a descriptor */
	if (!vq->layout.indirect || table->len % sizeof(struct vring_desc) || !entries ||
	    (table->flags & VRING_DESC_F_NEXT))
		return -EPROTO;
	if (table->addr + (table->len - 1) < table->addr)
		return -EFAULT;

	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		struct vring_desc raw;
		int err;

		if (desc.next >= entries || walked == MIN(entries, VIRTQ_MAX_SIZE))
			return -EPROTO;
		err = iotlb_read(&vq->view, table->addr + desc.next * sizeof(raw), &raw,
				 sizeof(raw));
		if (err)
			return err;
		desc = desc_decode(&raw);
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return -EPROTO;
		chain_add_desc(vq, chain, desc, last_in);
	}
	return 0;
}

static int chain_walk(struct virtq *vq, struct virtq_chain *chain, struct desc *last_in)
{
	struct desc desc = { .next = chain->head, .flags = VRING_DESC_F_NEXT };

	for (uint32_t walked = 0; desc.flags & VRING_DESC_F_NEXT; walked++) {
		if (desc.next >= vq->layout.num || walked == vq->layout.num)
			return -EPROTO;
		desc = desc_read(&vq->desc[desc.next]);
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return chain_add_indirect(vq, chain, &desc, last_in);
		chain_add_desc(vq, chain, desc, last_in);
	}
	return 0;
}

static int ring_break(struct virtq *vq)
{
	vq->broken = true;
	return -EPROTO;
}

/* Return: 1 with *@head taken; 0; -EPROTO. As virtq_pop() */
static int take_head(struct virtq *vq, uint16_t *head)
{
	if (vq->last_avail == vq->avail_seen && !virtq_has_work(vq))
		return 0;
	if (unlikely(vq->broken))
		return -EPROTO;
	if (unlikely((uint16_t)(vq->avail_seen - vq->last_avail) > vq->layout.num))
		return ring_break(vq);

	*head = le16toh(load_relaxed(&vq->avail->ring[vq->last_avail & vq->mask]));
	if (unlikely(*head >= vq->layout.num || virtq_head_is_taken(vq, *head)))
		return ring_break(vq);
	/* A head of zeroes from a lost page: the driver did not make head 0 available. */
	if (virtq_rings_are_lost(vq))
		return ring_break(vq);

	if (vq->log)
		inflight_vq_take(vq->log, *head);
	vq->last_avail++;
	virtq_head_toggle(vq, *head);
	return 1;
}

int virtq_pop(struct virtq *vq, struct virtq_chain *chain)
{
	struct desc last_in = { 0 };
	const struct iovec *last;
	uint16_t head;
	int ret = 1;

	if (unlikely(virtq_replays_left(vq)))
		head = vq->replay[vq->replay_next++];
	else
		ret = take_head(vq, &head);
	if (ret <= 0)
		return ret;

	vq->in_flight++;
	*chain = (struct virtq_chain){ .iov = chain->iov, .head = head };
	ret = chain_walk(vq, chain, &last_in);
	if (virtq_rings_are_lost(vq)) /* zeroes of a lost page look like the end of a chain */
		ret = -EFAULT;
	if (unlikely(ret)) {
		/* The walk did not reach the end of the chain, so the status byte is unknown. */
		chain->fault = ret;
		chain->last_in = NULL;
	} else if (unlikely(chain->fault)) {
		chain->last_in = find_last_byte(vq, &last_in);
	} else if (likely(chain->in_count)) {
		last = &chain->iov[chain->out_count + chain->in_count - 1];
		chain->last_in = (uint8_t *)last->iov_base + last->iov_len - 1;
	}
	return 1;
}

void virtq_put_back(struct virtq *vq, uint16_t head)
{
	/* @replay contains no head twice, so it has room when popped heads are removed. */
	if (vq->replay_count == VIRTQ_MAX_SIZE || vq->replay_next == vq->replay_count) {
		vq->replay_count -= vq->replay_next;
		memmove(vq->replay, vq->replay + vq->replay_next,
			vq->replay_count * sizeof(vq->replay[0]));
		vq->replay_next = 0;
	}
	vq->replay[vq->replay_count++] = head;
	vq->in_flight--;
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &vq->used->ring[vq->used_idx & vq->mask];

	elem->id = htole32(head);
	elem->len = htole32(len);
	if (unlikely(vq->dirty))
		virtq_mark_chain(vq, head, len);
	vq->used_idx++;
	vq->in_flight--;
	vq->batch[vq->batch_count++] = head;
	if (vq->log)
		inflight_vq_push(vq->log, head);
}

/* From now on the driver may reuse these heads. */
static void batch_release(struct virtq *vq)
{
	for (uint32_t i = 0; i < vq->batch_count; i++)
		virtq_head_toggle(vq, vq->batch[i]);
	if (vq->log)
		inflight_vq_published(vq->log, vq->batch, vq->batch_count, vq->published);
	vq->batch_count = 0;
}

bool virtq_publish(struct virtq *vq)
{
	uint16_t old = vq->published, new = vq->used_idx;

	if (old == new)
		return false;
	/* Pairs with the driver's read barrier after it loads used->idx (virtio 1.3, 2.7.14). */
	store_release(&vq->used->idx, htole16(new));
	vq->published = new;
	virtq_mark_used(vq, &vq->used->idx, sizeof(vq->used->idx));

	/*
	 * Pairs with the driver's barrier between the write of used_event (or flags) and the next
	 * read of used->idx: at least one side sees the write of the other side.
	 */
	full_barrier();
	batch_release(vq);
	if (!vq->layout.event_idx)
		return !(le16toh(load_relaxed(&vq->avail->flags)) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(le16toh(load_relaxed(vq->used_event)), new, old);
}

void virtq_suppress_kicks(struct virtq *vq)
{
	/* With the event index, an old avail_event suppresses kicks without a write. */
	if (vq->layout.event_idx)
		return;
	store_relaxed(&vq->used->flags, htole16(VRING_USED_F_NO_NOTIFY));
	virtq_mark_used(vq, &vq->used->flags, sizeof(vq->used->flags));
}

bool virtq_want_kick(struct virtq *vq)
{
	if (vq->layout.event_idx)
		store_relaxed(vq->avail_event, htole16(vq->last_avail));
	else
		store_relaxed(&vq->used->flags, 0);
	virtq_mark_used(vq, vq->layout.event_idx ? vq->avail_event : &vq->used->flags, 2);
	/*
	 * Pairs with the driver's barrier between the write of avail->idx and the read of
	 * avail_event (or flags): either the driver kicks, or this thread sees its chain now.
	 */
	full_barrier();
	return virtq_has_work(vq);
}
