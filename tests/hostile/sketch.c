// SPDX-License-Identifier: GPL-2.0-or-later
#include "sketch.h"

#include <string.h>

/* Of the data area: more than any answer reaches into. */
#define DATA_POISONED 0x2000u

static uint64_t place_iova(const struct driver *d, enum place place)
{
	switch (place) {
	case HEADER:
		return driver_iova(d, 0, AT_HEADER);
	case STATUS:
		return driver_iova(d, 0, AT_STATUS);
	case DATA:
		return driver_iova(d, 0, AT_DATA);
	case NO_PLACE:
	case TABLE:
		return driver_iova(d, 0, AT_TABLE);
	case RO:
		return RO_IOVA;
	case WO:
		return WO_IOVA;
	case SPLIT:
		return SPLIT_IOVA;
	case TOP:
		return TOP_IOVA;
	case NOWHERE:
		break;
	}
	return NOWHERE_IOVA;
}

static uint32_t sketch_length(const struct sketch *s)
{
	uint32_t n = 0;

	while (n < SKETCH_MAX && s->desc[n].place)
		n++;
	return n;
}

static void draw(const struct driver *d, const struct sketch *s, struct vring_desc *to)
{
	uint32_t count = sketch_length(s);

	for (uint32_t i = 0; i < count; i++) {
		const struct sketch_desc *desc = &s->desc[i];
		uint16_t flags = desc->flags | (desc->in ? VRING_DESC_F_WRITE : 0);
		uint16_t next = (uint16_t)(desc->next ? desc->next - 1u : i + 1);

		if (desc->indirect)
			flags |= VRING_DESC_F_INDIRECT;
		if (!desc->stop && (desc->next || i + 1 < count))
			flags |= VRING_DESC_F_NEXT;
		to[i] = ring_desc(place_iova(d, desc->place) + desc->offset, desc->len, flags,
				  next);
	}
}

static void draw_indirect(struct driver *d, const struct sketch *s)
{
	uint32_t bytes = s->table_bytes ? s->table_bytes : sketch_length(s) * 16;
	uint16_t flags = VRING_DESC_F_INDIRECT | s->head_flags;

	draw(d, s, (struct vring_desc *)driver_mem(d, 0, AT_TABLE));
	d->ring[0].desc[0] =
		ring_desc(place_iova(d, s->table_place) + s->table_offset, bytes, flags, 1);
}

/* Where the answer must be: the last byte of the last part that can be written. */
static uint8_t *status_byte(struct driver *d, const struct sketch *s)
{
	const struct sketch_desc *last = NULL;

	for (uint32_t i = 0; s->outcome == ANSWERED && i < sketch_length(s); i++)
		if (s->desc[i].in && s->desc[i].len)
			last = &s->desc[i];
	if (last && last->place == STATUS)
		return driver_mem(d, 0, AT_STATUS) + last->offset + last->len - 1;
	if (last && last->place == DATA)
		return driver_mem(d, 0, AT_DATA) + last->offset + last->len - 1;
	return driver_mem(d, 0, AT_STATUS);
}

static void judge(struct driver *d, const struct sketch *s, const struct vring_used_elem *elem)
{
	uint8_t status = *status_byte(d, s);
	uint8_t want = s->outcome == ANSWERED ? s->status : POISON;

	if (elem->id != 0)
		fail("head 0 came back as %u", elem->id);
	if (status != want)
		fail("the status is 0x%02x, not 0x%02x", status, want);
	if (elem->len != s->used)
		fail("the used length is %u, not %u", elem->len, s->used);
}

static void offer(struct driver *d, const struct sketch *s)
{
	memset(driver_mem(d, 0, AT_STATUS), POISON, AT_TABLE - AT_STATUS);
	memset(driver_mem(d, 0, AT_TABLE), 0, SKETCH_MAX * sizeof(struct vring_desc));
	memset(driver_mem(d, 0, AT_DATA), POISON, DATA_POISONED);
	memset(d->ring[0].desc, 0, RING_AVAIL);
	if (s->payload)
		memcpy(driver_mem(d, 0, AT_DATA), s->payload, s->payload_bytes);
	driver_header(d, 0, AT_HEADER, s->type, s->sector);
	if (s->way == INDIRECT)
		draw_indirect(d, s);
	else
		draw(d, s, d->ring[0].desc);
	ring_offer(&d->ring[0], 0);
	ring_publish(&d->ring[0]);
}

void sketch_run(struct bench *bench, const struct sketch *s)
{
	struct driver *d = s->read_only ? &bench->locked : &bench->victim;
	uint64_t features = d->features;
	struct vring_used_elem elem;

	if (s->not_negotiated) {
		d->features &= ~(1ull << VIRTIO_RING_F_INDIRECT_DESC);
		driver_start(d);
	}
	offer(d, s);
	if (!ring_wait_irq(&d->ring[0], &elem, ANSWER_MS))
		fail("the chain does not come back");
	judge(d, s, &elem);
	driver_good(d, 0); /* a chain is one chain: its queue goes on */
	driver_good(d, 1);
	if (s->not_negotiated) {
		d->features = features;
		driver_start(d);
	}
}
