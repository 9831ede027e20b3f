// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A hostile driver and a server that takes, gives back, publishes, loses mappings, is killed and
 * comes again. The input is a memory map, a ring layout and a list of steps of both sides.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "memory.h"
#include "ring_driver.h"
#include "ring_model.h"
#include "virtq.h"

#define STEPS_MAX 500u

/* The first byte of an input. */
enum {
	FLAG_HIGH = 1,
	FLAG_CUT = 2,
	FLAG_EVENT_IDX = 4,
	FLAG_INDIRECT = 8,
	FLAG_OWN_DESC = 16, /* ring addresses that follow */
	FLAG_OWN_DRIVER = 32,
	FLAG_OWN_DEVICE = 64,
	FLAG_EXACT = 128, /* a region for each ring, and no byte more */
};

struct rig {
	struct memory memory;
	struct iotlb tlb;
	struct virtq vq;
	struct inflight_vq *log; /* room for exactly as many heads as the ring has */
	struct virtq_layout layout;
	bool running;
	struct ring_driver driver;

	struct heads_model heads; /* what the queue is expected to know */
};

static struct iovec chain_iov[VIRTQ_MAX_IOV];

/* ---- invariants ---- */

/* Return: bytes; each piece lies in one region that permits it */
static size_t check_pieces(const struct rig *rig, const struct iovec *iov, uint32_t count, int prot)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		must(iov[i].iov_len > 0);
		must(memory_holds(&rig->memory, iov[i].iov_base, iov[i].iov_len, prot));
		bytes += iov[i].iov_len;
	}
	return bytes;
}

static bool model_read(const void *ctx, uint64_t addr, void *to, size_t len)
{
	return memory_read(ctx, addr, to, len);
}

static void check_meaning(const struct rig *rig, const struct virtq_chain *chain)
{
	struct model_memory memory = { .read = model_read, .ctx = &rig->memory };
	static struct chain_model model;

	chain_model(&model, &memory, &rig->layout, chain->head);
	if (model.fault) {
		must(chain->fault && !chain->last_in);
		return;
	}
	must(chain->fault || !model.in_before_out);
	must(chain->out_bytes == model.out_bytes && chain->in_bytes == model.in_bytes);
}

static void check_chain(struct rig *rig, const struct virtq_chain *chain)
{
	const struct iovec *in = chain->iov + chain->out_count;
	size_t out_bytes, in_bytes;

	check_meaning(rig, chain);
	must(chain->out_count + chain->in_count <= VIRTQ_MAX_IOV);
	out_bytes = check_pieces(rig, chain->iov, chain->out_count, PROT_READ);
	in_bytes = check_pieces(rig, in, chain->in_count, PROT_WRITE);
	if (chain->last_in) {
		must(memory_holds(&rig->memory, chain->last_in, 1, PROT_WRITE));
		*chain->last_in = 0xff; /* as the server would */
	}
	must(out_bytes <= chain->out_bytes && in_bytes <= chain->in_bytes);
	if (chain->fault)
		return;
	must(out_bytes == chain->out_bytes && in_bytes == chain->in_bytes);
	must(!chain->in_count == !chain->last_in);
	if (chain->in_count) {
		const struct iovec *last = &in[chain->in_count - 1];

		must(chain->last_in == (uint8_t *)last->iov_base + last->iov_len - 1);
	}
}

static void check_balance(const struct rig *rig)
{
	must(rig->vq.in_flight == rig->heads.taken);
}

/* ---- the server's steps ---- */

/* Return: was there a chain? */
static bool pop(struct rig *rig)
{
	struct virtq_chain chain = { .iov = chain_iov };
	bool broken = rig->vq.broken, replay = rig->vq.replay_next < rig->vq.replay_count;
	int got = virtq_pop(&rig->vq, &chain);

	must(got == 1 || got == 0 || got == -EPROTO);
	must(!broken || replay || got == -EPROTO);
	must(!replay || got == 1);
	if (got == 1) {
		must(chain.head < rig->layout.num);
		must(rig->heads.state[chain.head] == (replay ? HEAD_REPLAY : HEAD_FREE));
		heads_take(&rig->heads, chain.head);
		check_chain(rig, &chain);
	}
	check_balance(rig);
	return got == 1;
}

/* The first head that was taken, beginning the search at @from; there is one. */
static uint16_t find_taken(const struct rig *rig, uint16_t from)
{
	uint16_t head = from & rig->vq.mask;

	while (rig->heads.state[head] != HEAD_TAKEN)
		head = (head + 1) & rig->vq.mask;
	return head;
}

static void put_back(struct rig *rig, uint16_t from)
{
	uint16_t head;

	if (!rig->heads.taken)
		return;
	head = find_taken(rig, from);
	virtq_put_back(&rig->vq, head);
	heads_put_back(&rig->heads, head);
	check_balance(rig);
}

static void push(struct rig *rig, uint16_t from, uint32_t len)
{
	uint16_t head;

	if (!rig->heads.taken)
		return;
	head = find_taken(rig, from);
	virtq_push(&rig->vq, head, len);
	heads_push(&rig->heads, head);
	check_balance(rig);
}

static void publish(struct rig *rig)
{
	bool wanted = virtq_publish(&rig->vq);
	bool any = heads_publish(&rig->heads, NULL) > 0;

	must(any || !wanted);
	must(!any || le16toh(rig->vq.used->idx) == rig->vq.used_idx);
	must(rig->vq.published == rig->vq.used_idx);
	check_balance(rig);
}

static void push_all(struct rig *rig)
{
	while (rig->heads.taken)
		push(rig, 0, 1);
	publish(rig);
}

static void start(struct rig *rig, uint16_t next_avail)
{
	rig->running = virtq_start(&rig->vq, &rig->layout, next_avail) == 0;
	heads_reset(&rig->heads, rig->layout.num);
}

static void drop(struct rig *rig, uint64_t first, uint64_t last)
{
	push_all(rig);
	iotlb_drop(&rig->tlb, first, last);
	rig->running = virtq_remap(&rig->vq) == 0;
}

/* What the inflight log must give back. Return: how many heads; -EINVAL */
static int expect_recovery(struct rig *rig)
{
	uint16_t moved = (uint16_t)(le16toh(rig->vq.used->idx) - rig->vq.published);

	if (moved > rig->layout.num)
		return -EINVAL;
	return heads_crash(&rig->heads, moved);
}

/* kill -9, and the next server */
static void recover(struct rig *rig)
{
	int expected = expect_recovery(rig);
	int got;

	virtq_exit(&rig->vq);
	virtq_init(&rig->vq, &rig->tlb);
	virtq_set_log(&rig->vq, rig->log);
	got = virtq_recover(&rig->vq, &rig->layout);
	must(got == expected);
	rig->running = got >= 0;
	must(heads_check_replay(&rig->heads, rig->vq.replay, got));
}

/* ---- steps ---- */

static void server_step(struct rig *rig, struct input *in, uint8_t what)
{
	switch (what) {
	case 4:
		pop(rig);
		break;
	case 5:
		push(rig, input_u8(in), input_u16(in));
		break;
	case 6:
		publish(rig);
		break;
	case 7:
		virtq_suppress_kicks(&rig->vq);
		break;
	case 8:
		(void)!virtq_want_kick(&rig->vq);
		break;
	case 9:
		drop(rig, rig->memory.base + input_u16(in), rig->memory.base + input_u16(in));
		break;
	case 10:
		recover(rig);
		break;
	case 11:
		while (pop(rig))
			;
		break;
	case 12:
		put_back(rig, input_u8(in));
		break;
	}
}

static void run_steps(struct rig *rig, struct input *in)
{
	for (unsigned int i = 0; i < STEPS_MAX && in->left; i++) {
		uint8_t what = input_u8(in) % 14;

		if (what < RING_DRIVER_STEPS) {
			ring_driver_step(&rig->driver, what, in);
		} else if (what == 13) {
			if (rig->running)
				push_all(rig);
			rig->driver.ring.avail_idx = input_u16(in);
			start(rig, rig->driver.ring.avail_idx);
		} else if (rig->running) {
			server_step(rig, in, what);
		}
	}
	if (!rig->running)
		return;
	while (pop(rig))
		;
	push_all(rig);
	must(rig->vq.in_flight == 0);
}

/* ---- set-up ---- */

static uint64_t address(struct rig *rig, struct input *in, uint32_t usual, bool custom)
{
	return rig->memory.base + (custom ? input_u16(in) : usual);
}

/* @ends: where the rings end in the window, where they are one behind the other as usual */
static void choose_layout(struct rig *rig, struct input *in, uint8_t flags, uint32_t ends[3])
{
	static const uint16_t odd_sizes[] = { 0, 3, 2048, 65535, 768 };
	struct virtq_layout *l = &rig->layout;
	uint8_t size = input_u8(in) & 15;

	l->num = size <= 10 ? (uint16_t)(1 << size) : odd_sizes[size - 11];
	l->event_idx = flags & FLAG_EVENT_IDX;
	l->indirect = flags & FLAG_INDIRECT;
	ends[0] = (uint32_t)sizeof(struct vring_desc) * l->num;
	ends[1] = (ends[0] + 6 + 2u * l->num + 3) & ~3u;
	ends[2] = ends[1] + 6 + (uint32_t)sizeof(struct vring_used_elem) * l->num;
	l->desc = address(rig, in, 0, flags & FLAG_OWN_DESC);
	l->driver = address(rig, in, ends[0], flags & FLAG_OWN_DRIVER);
	l->device = address(rig, in, ends[1], flags & FLAG_OWN_DEVICE);
	if (ends[2] > MEMORY_SIZE || !(flags & FLAG_EXACT))
		memset(ends, 0, 3 * sizeof(ends[0]));
}

static void rig_exit(struct rig *rig)
{
	virtq_exit(&rig->vq);
	iotlb_exit(&rig->tlb);
	memory_exit(&rig->memory);
	free(rig->log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	static struct rig rig;
	uint8_t flags = input_u8(&in);
	uint32_t ring_ends[3];

	rig = (struct rig){ .memory.base = flags & FLAG_HIGH ? MEMORY_HIGH : MEMORY_LOW };
	choose_layout(&rig, &in, flags, ring_ends);
	memory_init(&rig.memory, ring_ends, &in, flags & FLAG_CUT);
	iotlb_init(&rig.tlb, &memory_iotlb_ops, &rig.memory);
	virtq_init(&rig.vq, &rig.tlb);
	rig.log = calloc(1, sizeof(*rig.log) + rig.layout.num * sizeof(rig.log->entries[0]));
	must(rig.log);
	virtq_set_log(&rig.vq, rig.log);
	ring_driver_init(&rig.driver, &rig.memory, &rig.layout, input_u16(&in));
	start(&rig, rig.driver.ring.avail_idx);
	run_steps(&rig, &in);
	rig_exit(&rig);
	return 0;
}
