// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps the rings of a virtqueue: at a start, after a crash, and when memory has moved. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtq_priv.h"

void virtq_init(struct virtq *vq, struct iotlb *tlb)
{
	memset(vq, 0, sizeof(*vq));
	iotlb_view_init(&vq->view, tlb);
}

void virtq_exit(struct virtq *vq)
{
	iotlb_view_exit(&vq->view);
}

void virtq_set_log(struct virtq *vq, struct inflight_vq *log)
{
	vq->log = log;
}

static int ring_map(struct virtq *vq, uint64_t iova, size_t len, int prot, void **addr)
{
	size_t got = len;
	int err = iotlb_map(&vq->view, iova, &got, prot, addr);

	if (err)
		return err;
	return got == len ? 0 : -EFAULT;
}

int virtq_remap(struct virtq *vq)
{
	const struct virtq_layout *l = &vq->layout;
	void *desc, *avail, *used;
	int err;

	/* Each ring is followed by an event field of two bytes (virtio 1.3, 2.7.7 and 2.7.8). */
	err = ring_map(vq, l->desc, sizeof(struct vring_desc) * l->num, PROT_READ, &desc);
	if (!err)
		err = ring_map(vq, l->driver, 6 + 2 * (size_t)l->num, PROT_READ, &avail);
	if (!err)
		err = ring_map(vq, l->device, 6 + sizeof(struct vring_used_elem) * l->num,
			       PROT_READ | PROT_WRITE, &used);
	if (err)
		return err;
	/* An IOVA may be aligned although its memory is not. */
	if ((uintptr_t)desc % 16 || (uintptr_t)avail % 2 || (uintptr_t)used % 4)
		return -EINVAL;

	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	vq->used_event = &vq->avail->ring[l->num];
	vq->avail_event = (uint16_t *)&vq->used->ring[l->num];
	return 0;
}

static int rings_set(struct virtq *vq, const struct virtq_layout *l)
{
	if (!l->num || l->num > VIRTQ_MAX_SIZE || (l->num & (l->num - 1)))
		return -EINVAL;
	/* virtio 1.3, 2.7: the alignments of the three parts. */
	if (l->desc % 16 || l->driver % 2 || l->device % 4)
		return -EINVAL;
	vq->layout = *l;
	vq->mask = l->num - 1;
	return virtq_remap(vq);
}

/* Sets the indices, with nothing in flight. */
static void indices_set(struct virtq *vq, uint16_t used_idx, uint16_t next_avail)
{
	vq->last_avail = next_avail;
	vq->avail_seen = next_avail;
	vq->used_idx = used_idx;
	vq->published = used_idx;
	vq->in_flight = 0;
	vq->broken = false;
	vq->batch_count = 0;
	vq->replay_next = vq->replay_count = 0;
	memset(vq->taken, 0, sizeof(vq->taken));
}

/* Return: 0; -EIO: the memory of the rings is lost */
static int read_used_idx(const struct virtq *vq, uint16_t *used_idx)
{
	*used_idx = le16toh(load_relaxed(&vq->used->idx));
	return virtq_rings_are_lost(vq) ? -EIO : 0;
}

int virtq_start(struct virtq *vq, const struct virtq_layout *layout, uint16_t next_avail)
{
	uint16_t used_idx;
	int err = rings_set(vq, layout);

	if (!err)
		err = read_used_idx(vq, &used_idx);
	if (err)
		return err;
	indices_set(vq, used_idx, next_avail);
	if (vq->log)
		inflight_vq_start(vq->log, layout->num, used_idx, next_avail);
	return 0;
}

int virtq_recover(struct virtq *vq, const struct virtq_layout *layout)
{
	uint16_t used_idx;
	int count, err = rings_set(vq, layout);

	if (!err)
		err = read_used_idx(vq, &used_idx);
	if (err)
		return err;
	count = inflight_vq_recover(vq->log, used_idx, layout->num, vq->replay);
	if (count < 0)
		return count;

	/* Each avail entry that was popped is either published or in flight. */
	indices_set(vq, used_idx, (uint16_t)(used_idx + count + vq->log->ahead));
	vq->replay_count = (uint32_t)count;
	for (int i = 0; i < count; i++)
		virtq_head_toggle(vq, vq->replay[i]);
	return count;
}

int virtq_recover_blind(struct virtq *vq, const struct virtq_layout *layout)
{
	uint16_t used_idx, count, heads[VIRTQ_MAX_SIZE];
	int err = rings_set(vq, layout);

	if (!err)
		err = read_used_idx(vq, &used_idx);
	if (err)
		return err;
	count = (uint16_t)(le16toh(load_acquire(&vq->avail->idx)) - used_idx);
	if (count > layout->num)
		return -EINVAL;
	memset(vq->taken, 0, sizeof(vq->taken));
	for (uint16_t i = 0; i < count; i++) {
		heads[i] = le16toh(load_relaxed(&vq->avail->ring[(used_idx + i) & vq->mask]));
		if (heads[i] >= layout->num || virtq_head_is_taken(vq, heads[i]))
			return -EINVAL;
		virtq_head_toggle(vq, heads[i]);
	}
	if (virtq_rings_are_lost(vq))
		return -EIO;
	inflight_vq_guess(vq->log, layout->num, used_idx, heads, count);
	return virtq_recover(vq, layout);
}

void virtq_stop(struct virtq *vq)
{
	vq->replay_next = vq->replay_count = 0;
}
