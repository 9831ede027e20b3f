// SPDX-License-Identifier: GPL-2.0-or-later
#include "virtq_fixture.h"

#include <endian.h>
#include <errno.h>

#include "ring_model.h"

struct guest *g;
struct virtq vq;
static struct iovec iov[VIRTQ_MAX_IOV];
struct virtq_chain chain = { .iov = iov };
uint32_t vq_popped, vq_pushed;

struct virtq_layout vq_layout(bool indirect)
{
	return (struct virtq_layout){
		.num = g->num,
		.desc = g->desc_addr,
		.driver = g->avail_addr,
		.device = g->used_addr,
		.event_idx = g->event_idx,
		.indirect = indirect,
	};
}

/* From an empty ring, both sides at index @first. */
void vq_restart(uint16_t first)
{
	struct virtq_layout l = vq_layout(true);

	guest_reset(g, first);
	ck_assert_int_eq(virtq_start(&vq, &l, first), 0);
	vq_popped = vq_pushed = 0;
}

void vq_start(int combo, uint16_t num, uint16_t first)
{
	g = guest_new(num, COMBO_SHAPE(combo));
	g->indirect = COMBO_INDIRECT(combo);
	g->event_idx = COMBO_EVENT_IDX(combo);
	virtq_init(&vq, &g->tlb);
	vq_restart(first);
}

void vq_stop(void)
{
	virtq_exit(&vq);
	guest_free(g);
}

void vq_teardown(void)
{
	vq_stop();
	test_log_end();
}

static uint32_t taken_heads(void)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(vq.taken); i++)
		count += (uint32_t)__builtin_popcount(vq.taken[i]);
	return count;
}

void vq_check_counters(void)
{
	must(vq_popped == vq_pushed + vq.in_flight, "vq_popped %u, vq_pushed %u, in flight %u",
	     vq_popped, vq_pushed, vq.in_flight);
	must(taken_heads() == vq.in_flight + vq.batch_count + (vq.replay_count - vq.replay_next),
	     "bits of heads that the driver must not use");
	must(vq.in_flight <= g->num, "more in flight than there are descriptors");
}

int vq_pop(void)
{
	int ret = virtq_pop(&vq, &chain);

	vq_popped += ret == 1;
	vq_check_counters();
	must((ret == -EPROTO) == vq.broken, "pop says %d", ret);
	return ret;
}

void vq_push(uint16_t head, uint32_t len)
{
	virtq_push(&vq, head, len);
	vq_pushed++;
	vq_check_counters();
}

/* The pieces of one direction: exactly the bytes of @segs, in order, where the device sees them. */
const struct iovec *vq_check_pieces(const struct iovec *piece, uint32_t count,
				    const struct chain_part *segs, size_t seg_count, bool in)
{
	const struct iovec *end = piece + count;

	for (size_t i = 0; i < seg_count; i++) {
		uint64_t addr = segs[i].addr, left = segs[i].in == in ? segs[i].len : 0;

		while (left) {
			uint8_t *base;

			must(piece < end, "a piece is missing");
			base = piece->iov_base;
			must(piece->iov_len && piece->iov_len <= left, "length of a piece");
			must(base == guest_device_ptr(g, addr), "start of a piece");
			must(base + piece->iov_len - 1 ==
				     guest_device_ptr(g, addr + piece->iov_len - 1),
			     "end of a piece");
			addr += piece->iov_len;
			left -= piece->iov_len;
			piece++;
		}
	}
	must(piece == end, "a piece too many");
	return piece;
}

/* What was vq_popped is what the driver made, and says so. */
void vq_check_chain(int head)
{
	const struct guest_chain *made = &g->chains[head];
	const struct iovec *piece = iov;

	ck_assert_int_eq(chain.head, head);
	ck_assert_int_eq(chain.fault, 0);
	ck_assert_uint_eq(chain.out_bytes, made->out_bytes);
	ck_assert_uint_eq(chain.in_bytes, made->in_bytes);
	ck_assert_ptr_eq(chain.last_in, made->last_in ? guest_device_ptr(g, made->last_in) : NULL);
	piece = vq_check_pieces(piece, chain.out_count, made->segs, made->count, false);
	vq_check_pieces(piece, chain.in_count, made->segs, made->count, true);

	for (size_t i = 0, pos = 0; i < chain.out_count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			must(((uint8_t *)iov[i].iov_base)[j] == guest_pattern(made->seed, pos++),
			     "content of the out part");
}

/* What the device writes at @pos of the in part. */
static uint8_t answer(const struct guest_chain *made, size_t pos)
{
	return guest_pattern(made->seed, pos) ^ 0xff;
}

void vq_write_in_part(int head)
{
	size_t pos = 0;

	for (uint32_t i = chain.out_count; i < chain.out_count + chain.in_count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			((uint8_t *)iov[i].iov_base)[j] = answer(&g->chains[head], pos++);
}

static void check_in_part(const struct guest_chain *made)
{
	size_t pos = 0;

	for (size_t i = 0; i < made->count; i++)
		for (uint32_t j = 0; made->segs[i].in && j < made->segs[i].len; j++) {
			uint8_t byte;

			guest_read(g, made->segs[i].addr + j, &byte, 1);
			must(byte == answer(made, pos++), "content of the in part");
		}
}

void vq_take(int head)
{
	ck_assert_int_eq(vq_pop(), 1);
	vq_check_chain(head);
	vq_write_in_part(head);
}

void vq_finish(int head)
{
	vq_push((uint16_t)head, (uint32_t)g->chains[head].in_bytes);
}

/* The driver takes back @head, next in line, with everything the device wrote. */
void vq_reap(int head)
{
	size_t in_bytes = g->chains[head].in_bytes;
	uint32_t len;

	check_in_part(&g->chains[head]);
	ck_assert_int_eq(guest_reap(g, &len), head);
	ck_assert_uint_eq(len, in_bytes);
}

void vq_publish_all(void)
{
	bool ignored = virtq_publish(&vq);

	(void)ignored;
}

/* ---- the model ---- */

static bool model_read(const void *ctx, uint64_t addr, void *to, size_t len)
{
	(void)ctx;
	if (!guest_has(g, addr, len, PROT_READ))
		return false;
	guest_read(g, addr, to, len);
	return true;
}

static bool is_mapped(const struct chain_part *part)
{
	return part->addr + (part->len - 1) >= part->addr &&
	       guest_has(g, part->addr, part->len, part->in ? PROT_WRITE : PROT_READ);
}

/* The status is the last byte that the device writes. It may be mapped where bytes before it are not. */
static uint8_t *status_of(const struct chain_model *model)
{
	uint8_t *status = NULL;

	for (uint32_t i = 0; i < model->count; i++) {
		uint64_t addr = model->parts[i].addr, last = addr + (model->parts[i].len - 1);

		if (model->parts[i].in)
			status = last >= addr && guest_has(g, last, 1, PROT_WRITE)
					 ? guest_device_ptr(g, last)
					 : NULL;
	}
	return status;
}

void vq_check_against_model(uint16_t head)
{
	static struct chain_model model;
	bool unmapped = false;

	chain_model(&model, &(struct model_memory){ .read = model_read }, &vq.layout, head);
	for (uint32_t i = 0; i < model.count; i++)
		unmapped |= !is_mapped(&model.parts[i]);
	must(chain.head == head, "head");
	must(chain.out_count + chain.in_count <= VIRTQ_MAX_IOV, "pieces");
	if (model.fault) {
		must(chain.fault == model.fault && !chain.last_in, "fault %d", chain.fault);
		return;
	}
	must(chain.last_in == status_of(&model), "address of the status");
	if (model.in_before_out || unmapped) {
		must((chain.fault == -EPROTO && model.in_before_out) ||
			     (chain.fault == -EFAULT && unmapped),
		     "fault %d", chain.fault);
		return;
	}
	must(chain.fault == 0, "fault %d", chain.fault);
	must(chain.out_bytes == model.out_bytes && chain.in_bytes == model.in_bytes, "bytes");
	vq_check_pieces(
		vq_check_pieces(chain.iov, chain.out_count, model.parts, model.count, false),
		chain.in_count, model.parts, model.count, true);
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
	g->desc[6] = driver_ring_desc(OUT, 16, VRING_DESC_F_NEXT, 7);
	g->desc[7] = driver_ring_desc(STATUS, 1, VRING_DESC_F_WRITE, 0);
	driver_ring_expose(&g->ring, 6);
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
