// SPDX-License-Identifier: GPL-2.0-or-later
/* What a chain says, by the letter of the specification and with no care for speed. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtq_fixture.h"

#define MODEL_MAX (2 * VIRTQ_MAX_SIZE)

static struct guest_seg model_segs[MODEL_MAX];

static struct {
	size_t count;
	size_t out_bytes, in_bytes;
	int walk;      /* the end was not reached: why */
	bool order;    /* readable after writable */
	bool unmapped; /* of some part, not all is accessible */
	uint8_t *last_in;
} model;

static void model_add(uint64_t addr, uint32_t len, bool in)
{
	bool mapped = addr + (len - 1) >= addr &&
		      guest_has(g, addr, len, in ? PROT_WRITE : PROT_READ);

	if (!len)
		return;
	model_segs[model.count++] = (struct guest_seg){ .in = in, .len = len, .addr = addr };
	*(in ? &model.in_bytes : &model.out_bytes) += len;
	model.order |= !in && model.in_bytes;
	model.unmapped |= !mapped;
	/* The status has a place of its own: what lies before it may be missing. */
	if (in && addr + (len - 1) >= addr && guest_has(g, addr + (len - 1), 1, PROT_WRITE))
		model.last_in = guest_device_ptr(g, addr + len - 1);
	else if (in)
		model.last_in = NULL;
}

/* Entries of the ring where @table is 0, else of an indirect table. */
static int model_walk(uint64_t table, uint32_t entries, uint32_t limit, uint32_t at)
{
	for (uint32_t walked = 0; walked < limit; walked++) {
		struct vring_desc d;
		uint16_t flags;

		if (at >= entries)
			return -EPROTO;
		if (table && !guest_has(g, table + 16ull * at, 16, PROT_READ))
			return -EFAULT;
		if (table)
			guest_read(g, table + 16ull * at, &d, sizeof(d));
		else
			d = g->desc[at];
		flags = le16toh(d.flags);

		if (flags & VRING_DESC_F_INDIRECT) {
			uint64_t addr = le64toh(d.addr);
			uint32_t len = le32toh(d.len);

			if (table || !vq.layout.indirect || flags & VRING_DESC_F_NEXT || !len ||
			    len % 16)
				return -EPROTO;
			if (addr + (len - 1) < addr)
				return -EFAULT;
			return model_walk(addr, len / 16, MIN(len / 16, VIRTQ_MAX_SIZE), 0);
		}
		model_add(le64toh(d.addr), le32toh(d.len), flags & VRING_DESC_F_WRITE);
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		at = le16toh(d.next);
	}
	return -EPROTO;
}

void vq_check_against_model(uint16_t head)
{
	memset(&model, 0, sizeof(model));
	model.walk = model_walk(0, g->num, g->num, head);

	must(chain.head == head, "head");
	must(chain.out_count + chain.in_count <= VIRTQ_MAX_IOV, "pieces");
	if (model.walk) {
		must(chain.fault == model.walk && !chain.last_in, "fault %d", chain.fault);
		return;
	}
	must(chain.last_in == model.last_in, "place of the status");
	if (model.order || model.unmapped) {
		must((chain.fault == -EPROTO && model.order) ||
			     (chain.fault == -EFAULT && model.unmapped),
		     "fault %d", chain.fault);
		return;
	}
	must(chain.fault == 0, "fault %d", chain.fault);
	must(chain.out_bytes == model.out_bytes && chain.in_bytes == model.in_bytes, "bytes");
	vq_check_pieces(vq_check_pieces(chain.iov, chain.out_count, model_segs, model.count, false),
			chain.in_count, model_segs, model.count, true);
}

void vq_expect_used(uint16_t idx, uint16_t head, uint32_t len)
{
	const struct vring_used_elem *e = &g->used->ring[(uint16_t)(idx - 1) % g->num];

	ck_assert_uint_eq(le16toh(g->used->idx), idx);
	ck_assert_uint_eq(le32toh(e->id), head);
	ck_assert_uint_eq(le32toh(e->len), len);
}

/* Afterwards the queue lives: a good chain behind the bad one. */
void vq_check_good_chain(uint16_t used_idx)
{
	g->desc[6] = guest_desc(OUT, 16, VRING_DESC_F_NEXT, 7);
	g->desc[7] = guest_desc(STATUS, 1, VRING_DESC_F_WRITE, 0);
	guest_expose(g, 6);
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, 0);
	ck_assert_uint_eq(chain.out_bytes, 16);
	vq_check_against_model(6);
	vq_push(6, 1);
	vq_publish_all();
	vq_expect_used(used_idx, 6, 1);
	ck_assert_int_eq(vq_pop(), 0);
}
