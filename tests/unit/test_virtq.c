// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c against the driver of tests/lib/guest.c: well behaved, hostile, random, concurrent. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "inflight.h"
#include "test_log.h"
#include "virtq.h"

/* Loop tests run over {shape of memory} x {direct, indirect} x {flags, event index}. */
#define COMBOS		   (GUEST_SHAPES * 4)
#define COMBO_SHAPE(i)	   ((enum guest_shape)((i) % GUEST_SHAPES))
#define COMBO_INDIRECT(i)  ((i) / GUEST_SHAPES % 2)
#define COMBO_EVENT_IDX(i) ((i) / GUEST_SHAPES / 2 % 2)

static struct guest *g;
static struct virtq vq;
static struct iovec iov[VIRTQ_MAX_IOV];
static struct virtq_chain chain = { .iov = iov };
static uint32_t popped, pushed;

static struct virtq_layout layout(bool indirect)
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
static void restart(uint16_t first)
{
	struct virtq_layout l = layout(true);

	guest_reset(g, first);
	ck_assert_int_eq(virtq_start(&vq, &l, first), 0);
	popped = pushed = 0;
}

static void start(int combo, uint16_t num, uint16_t first)
{
	g = guest_new(num, COMBO_SHAPE(combo));
	g->indirect = COMBO_INDIRECT(combo);
	g->event_idx = COMBO_EVENT_IDX(combo);
	virtq_init(&vq, &g->tlb);
	restart(first);
}

static void setup(void)
{
	test_log_begin();
}

static void stop(void)
{
	virtq_exit(&vq);
	guest_free(g);
}

static void teardown(void)
{
	stop();
	test_log_end();
}

static uint32_t taken_heads(void)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(vq.taken); i++)
		count += (uint32_t)__builtin_popcount(vq.taken[i]);
	return count;
}

static void check_counters(void)
{
	must(popped == pushed + vq.in_flight, "popped %u, pushed %u, in flight %u", popped, pushed,
	     vq.in_flight);
	must(taken_heads() == vq.in_flight + vq.batch_count + (vq.replay_count - vq.replay_next),
	     "bits of heads that the driver must not use");
	must(vq.in_flight <= g->num, "more in flight than there are descriptors");
}

static int pop(void)
{
	int ret = virtq_pop(&vq, &chain);

	popped += ret == 1;
	check_counters();
	must((ret == -EPROTO) == vq.broken, "pop says %d", ret);
	return ret;
}

static void push(uint16_t head, uint32_t len)
{
	virtq_push(&vq, head, len);
	pushed++;
	check_counters();
}

/* The pieces of one direction: exactly the bytes of @segs, in order, where the device sees them. */
static const struct iovec *check_pieces(const struct iovec *piece, uint32_t count,
					const struct guest_seg *segs, size_t seg_count, bool in)
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

/* What was popped is what the driver made, and says so. */
static void check_chain(int head)
{
	const struct guest_chain *made = &g->chains[head];
	const struct iovec *piece = iov;

	ck_assert_int_eq(chain.head, head);
	ck_assert_int_eq(chain.fault, 0);
	ck_assert_uint_eq(chain.out_bytes, made->out_bytes);
	ck_assert_uint_eq(chain.in_bytes, made->in_bytes);
	ck_assert_ptr_eq(chain.last_in, made->last_in ? guest_device_ptr(g, made->last_in) : NULL);
	piece = check_pieces(piece, chain.out_count, made->segs, made->count, false);
	check_pieces(piece, chain.in_count, made->segs, made->count, true);

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

static void write_in_part(int head)
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

static void take(int head)
{
	ck_assert_int_eq(pop(), 1);
	check_chain(head);
	write_in_part(head);
}

static void finish(int head)
{
	push((uint16_t)head, (uint32_t)g->chains[head].in_bytes);
}

/* The driver takes back @head, next in line, with everything the device wrote. */
static void reap(int head)
{
	size_t in_bytes = g->chains[head].in_bytes;
	uint32_t len;

	check_in_part(&g->chains[head]);
	ck_assert_int_eq(guest_reap(g, &len), head);
	ck_assert_uint_eq(len, in_bytes);
}

static void publish_all(void)
{
	bool ignored = virtq_publish(&vq);

	(void)ignored;
}

/* ---- a driver that behaves ---- */

START_TEST(nothing_is_taken_from_an_empty_ring)
{
	start(_i, 8, 0);
	ck_assert_int_eq(pop(), 0);
	ck_assert(!virtq_has_work(&vq));
	ck_assert(!virtq_publish(&vq));
	ck_assert_int_eq(guest_add(g, G_OUT(16)), 0);
	ck_assert_int_eq(pop(), 0); /* not published */
	ck_assert(!virtq_has_work(&vq));
	guest_publish(g);
	ck_assert(virtq_has_work(&vq));
	take(0);
	ck_assert(!virtq_has_work(&vq));
	ck_assert_int_eq(pop(), 0);
}
END_TEST

#define CHAIN_MAX 7

/* clang-format off */
static const struct {
	size_t count;
	struct guest_seg segs[CHAIN_MAX];
} chains[] = {
	{ 1, { G_OUT(1) } },
	{ 1, { G_IN(1) } },
	{ 1, { G_OUT(700) } },
	{ 1, { G_IN(700) } },
	{ 2, { G_OUT(16), G_IN(1) } },
	{ 3, { G_OUT(16), G_OUT(512), G_IN(1) } },
	{ 3, { G_OUT(16), G_IN(512), G_IN(1) } },    /* status byte alone in the last segment */
	{ 2, { G_OUT(16), G_IN(513) } },             /* and not */
	{ 7, { G_OUT(1), G_OUT(7), G_OUT(8), G_OUT(100), G_IN(3), G_IN(200), G_IN(2) } },
	{ 3, { G_OUT(16), G_IN(4096), G_IN(1) } },   /* over a border of pages */
	{ 3, { G_OUT(16), G_OUT(9001), G_IN(1) } },  /* over two */
	{ 4, { G_OUT(8), G_OUT(8), G_IN(4096), G_IN(4097) } },
	{ 3, { G_OUT(30000), G_IN(20000), G_IN(1) } },
	{ 1, { G_OUT(0) } },
	{ 2, { G_OUT(0), G_IN(0) } },
	{ 5, { G_OUT(0), G_OUT(16), G_IN(0), G_IN(5), G_IN(0) } },
	{ 6, { G_OUT(16), G_OUT(0), G_OUT(16), G_IN(5), G_OUT(0), G_IN(1) } },
	{ 3, { G_OUT(16), G_IN(1), G_IN(0) } },      /* status is the last byte there is */
};
/* clang-format on */

START_TEST(chain_is_what_the_driver_made)
{
	start(_i, 8, 0);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(chains); i++) {
		const struct guest_seg *segs = chains[i / 3].segs;
		size_t bytes = 0;
		int head;

		for (size_t j = 0; j < chains[i / 3].count; j++)
			bytes += segs[j].len;
		if (bytes + CHAIN_MAX * sizeof(struct vring_desc) >
		    MIN(g->data_size, VIRTQ_MAX_IOV))
			if (COMBO_SHAPE(_i) == GUEST_REGION_PER_BYTE)
				continue;
		head = guest_add_segs(g, segs, chains[i / 3].count);
		ck_assert_int_ge(head, 0);
		guest_publish(g);
		take(head);
		finish(head);
		publish_all();
		reap(head);
		ck_assert_int_eq(pop(), 0);
	}
}
END_TEST

START_TEST(indices_wrap)
{
	start(_i, 4, 65530);
	for (int i = 0; i < 20; i++) {
		int a = guest_add(g, G_OUT(16), G_IN(1)), b;

		guest_publish(g);
		take(a);
		b = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		take(b);
		ck_assert_int_eq(pop(), 0);
		finish(a);
		finish(b);
		publish_all();
		ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(65530 + 2 * (i + 1)));
		reap(a);
		reap(b);
	}
}
END_TEST

START_TEST(full_ring_is_taken_whole)
{
	static const uint16_t sizes[] = { 1, 2, 8, 128 };

	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
		uint16_t num = sizes[n];

		start(_i, num, 65535);
		for (int round = 0; round < 2; round++) {
			int heads[128];

			for (int i = 0; i < num; i++)
				heads[i] = guest_add(g, G_IN(1));
			ck_assert_int_eq(guest_add(g, G_IN(1)), -ENOSPC);
			guest_publish(g);
			for (int i = 0; i < num; i++)
				take(heads[i]);
			ck_assert_int_eq(pop(), 0);
			ck_assert_uint_eq(vq.in_flight, num);
			for (int i = 0; i < num; i++)
				finish(heads[i]);
			publish_all();
			for (int i = 0; i < num; i++)
				reap(heads[i]);
		}
		if (n + 1 < ARRAY_SIZE(sizes))
			stop();
	}
}
END_TEST

START_TEST(longest_direct_chain)
{
	struct guest_seg segs[VIRTQ_MAX_SIZE];
	int head;

	start(_i, VIRTQ_MAX_SIZE, 0);
	g->indirect = false;
	for (size_t i = 0; i < VIRTQ_MAX_SIZE; i++)
		segs[i] = (struct guest_seg){ .in = i >= 600, .len = 2 };
	head = guest_add_segs(g, segs, VIRTQ_MAX_SIZE);
	guest_publish(g);
	take(head);
	finish(head);
	publish_all();
	reap(head);
}
END_TEST

START_TEST(used_in_the_order_of_pushing)
{
	static const int order[] = { 3, 0, 5, 1, 4, 2 };
	int heads[6];
	uint32_t len;

	start(_i, 32, 65533);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 6; i++)
			heads[i] = guest_add(g, G_OUT(16), G_IN(20), G_IN(1));
		guest_publish(g);
		for (int i = 0; i < 6; i++)
			take(heads[i]);
		for (int i = 0; i < 6; i++)
			finish(heads[order[i]]);
		ck_assert_int_eq(guest_reap(g, &len), -EAGAIN); /* not before it is published */
		publish_all();
		for (int i = 0; i < 6; i++)
			reap(heads[order[i]]);
		ck_assert_int_eq(guest_reap(g, &len), -EAGAIN);
	}
}
END_TEST

/* Interrupt decisions: every position of used_event around a batch, indices near the wrap. */
START_TEST(interrupt_where_the_event_index_lies_in_the_batch)
{
	static const uint16_t firsts[] = { 0, 1, 7, 65532, 65535 };
	uint16_t old = firsts[_i];

	start(0, 8, old);
	g->event_idx = true;
	for (uint16_t batch = 1; batch <= 8; batch++) {
		for (int rel = -10; rel <= 20; rel++) {
			bool want = rel >= 0 && rel < batch;

			restart(old);
			g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT); /* means nothing */
			*guest_used_event(g) = htole16((uint16_t)(old + rel));
			for (int i = 0; i < batch; i++)
				ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
			guest_publish(g);
			while (pop())
				push(chain.head, 0);
			ck_assert_msg(virtq_publish(&vq) == want, "old %u batch %u event %+d", old,
				      batch, rel);
			ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(old + batch));
			ck_assert(!virtq_publish(&vq)); /* nothing new, even on the same event */
		}
	}
}
END_TEST

START_TEST(interrupt_decision_begins_where_the_last_one_ended)
{
	start(0, 8, 65534);
	g->event_idx = true;
	restart(65534);
	*guest_used_event(g) = htole16(65535);
	for (int i = 0; i < 4; i++) {
		uint32_t len;

		ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
		guest_publish(g);
		ck_assert_int_eq(pop(), 1);
		push(chain.head, 0);
		ck_assert_int_eq(virtq_publish(&vq), i == 1);
		ck_assert_int_ge(guest_reap(g, &len), 0);
	}
}
END_TEST

START_TEST(interrupt_unless_the_flag_says_no)
{
	for (int i = 0; i < 8; i++) {
		if (i)
			stop();
		start(GUEST_ONE_REGION, 8, (uint16_t)(65533 + i));
		g->avail->flags = htole16(i % 2 ? VRING_AVAIL_F_NO_INTERRUPT
						: (uint16_t)~VRING_AVAIL_F_NO_INTERRUPT);
		*guest_used_event(g) = htole16((uint16_t)(65533 + i + (i & 2))); /* means nothing */
		ck_assert_int_eq(guest_add(g, G_OUT(1)), 0);
		guest_publish(g);
		ck_assert_int_eq(pop(), 1);
		push(chain.head, 0);
		ck_assert_int_eq(virtq_publish(&vq), i % 2 == 0);
		ck_assert(!virtq_publish(&vq));
	}
}
END_TEST

/* Adds one chain; does its driver kick? */
static bool add_kicks(void)
{
	ck_assert_int_ge(guest_add(g, G_OUT(1)), 0);
	return guest_publish(g);
}

START_TEST(driver_kicks_only_when_asked)
{
	start(_i, 16, 65531);
	for (int i = 0; i < 6; i++) {
		uint32_t len;

		ck_assert(!virtq_want_kick(&vq));
		ck_assert_uint_eq(g->used->flags, 0);
		ck_assert(add_kicks());
		virtq_suppress_kicks(&vq);
		ck_assert(!add_kicks());
		while (pop())
			push(chain.head, 0);
		ck_assert(!add_kicks()); /* still busy */
		if (g->event_idx)
			ck_assert_uint_eq(g->used->flags, 0); /* virtio 1.3, 2.7.10.1 */

		ck_assert(virtq_want_kick(&vq)); /* what came while nobody was asked */
		while (pop())
			push(chain.head, 0);
		publish_all();
		while (guest_reap(g, &len) >= 0)
			;
	}
}
END_TEST

START_TEST(want_kick_sees_what_came_before_it)
{
	uint16_t expected;

	start(_i, 8, 65535);
	ck_assert(!virtq_want_kick(&vq));
	ck_assert(add_kicks());
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	ck_assert(virtq_want_kick(&vq));
	expected = g->event_idx ? 65535 : 0;
	ck_assert_uint_eq(le16toh(*guest_avail_event(g)), expected);
	ck_assert_int_eq(pop(), 1);
	ck_assert(!virtq_want_kick(&vq));
	ck_assert_uint_eq(*guest_avail_event(g), 0); /* 65535 + 1, or never written */
	push(chain.head, 0);
}
END_TEST

START_TEST(descriptors_changed_after_pop_do_not_matter)
{
	int a, b;

	start(_i, 16, 0);
	a = guest_add(g, G_OUT(16), G_OUT(100), G_IN(50), G_IN(1));
	b = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	for (int i = 0; i < 4; i++) {
		if (g->indirect)
			guest_write_desc(g, le64toh(g->desc[a].addr), (uint32_t)i,
					 guest_desc(GUEST_NOWHERE, 1u << 31, 7, 0xffff));
		else
			g->desc[i] = guest_desc(GUEST_NOWHERE, 1u << 31, 7, 0xffff);
	}
	g->avail->ring[0] = htole16(0xffff);
	check_chain(a);
	write_in_part(a);
	take(b);
	finish(a);
	finish(b);
	publish_all();
	reap(a);
	reap(b);
}
END_TEST

START_TEST(remap_follows_memory_that_moved)
{
	int done, flying, next;

	start(_i, 16, 65534);
	done = guest_add(g, G_OUT(16), G_IN(300));
	flying = guest_add(g, G_OUT(16), G_IN(300));
	next = guest_add(g, G_OUT(16), G_IN(300));
	guest_publish(g);
	take(done);
	take(flying);
	finish(done);

	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	guest_move(g);
	ck_assert_int_eq(virtq_remap(&vq), 0);
	finish(flying);
	take(next);
	finish(next);
	publish_all();
	reap(done);
	reap(flying);
	reap(next);
	ck_assert_uint_eq(le16toh(g->used->idx), 1); /* 65534 + 3 */
}
END_TEST

/* ---- starting ---- */

static const struct {
	int num; /* 0 stands for the ring's own */
	uint64_t desc, driver, device;
	int err;
} bad_layouts[] = {
	{ -1, 0, 0, 0, -EINVAL },
	{ 3, 0, 0, 0, -EINVAL },
	{ 12, 0, 0, 0, -EINVAL },
	{ 2048, 0, 0, 0, -EINVAL },
	{ 32768, 0, 0, 0, -EINVAL },
	{ 0, GUEST_MEM + 8, 0, 0, -EINVAL },
	{ 0, 0, GUEST_DATA + 1, 0, -EINVAL },
	{ 0, 0, 0, GUEST_DATA + 2, -EINVAL },
	{ 0, GUEST_NOWHERE, 0, 0, -EFAULT },
	{ 0, 0, GUEST_NOWHERE, 0, -EFAULT },
	{ 0, 0, 0, GUEST_NOWHERE, -EFAULT },
	{ 0, GUEST_WRITE_ONLY, 0, 0, -EFAULT },
	{ 0, 0, GUEST_WRITE_ONLY, 0, -EFAULT },
	{ 0, 0, 0, GUEST_WRITE_ONLY, -EFAULT },
	{ 0, 0, 0, GUEST_READ_ONLY, -EFAULT },
	/* Of 8 descriptors, 128 bytes; avail 22 and used 70, counted with their event fields. */
	{ 0, GUEST_READ_ONLY + GUEST_PAGE - 112, 0, 0, -EFAULT },
	{ 0, 0, GUEST_READ_ONLY + GUEST_PAGE - 20, 0, -EFAULT },
	{ 0, 0, 0, GUEST_TOP + GUEST_PAGE - 68, -EFAULT },
	{ 0, GUEST_TOP + GUEST_PAGE - 16, 0, 0, -EFAULT },
	/* And these just fit. */
	{ 0, GUEST_READ_ONLY + GUEST_PAGE - 128, 0, 0, 0 },
	{ 0, 0, GUEST_READ_ONLY + GUEST_PAGE - 22, 0, 0 },
	{ 0, 0, 0, GUEST_TOP + GUEST_PAGE - 72, 0 },
	{ 1, 0, 0, 0, 0 },
	{ 0, 0, 0, 0, 0 },
};

START_TEST(start_checks_the_layout)
{
	start(GUEST_REGION_PER_PAGE, 8, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad_layouts); i++) {
		struct virtq_layout l = layout(true);
		int err;

		if (bad_layouts[i].num)
			l.num = bad_layouts[i].num < 0 ? 0 : (uint16_t)bad_layouts[i].num;
		if (bad_layouts[i].desc)
			l.desc = bad_layouts[i].desc;
		if (bad_layouts[i].driver)
			l.driver = bad_layouts[i].driver;
		if (bad_layouts[i].device)
			l.device = bad_layouts[i].device;
		err = virtq_start(&vq, &l, 0);
		ck_assert_msg(err == bad_layouts[i].err, "row %zu: %d", i, err);
	}
}
END_TEST

START_TEST(ring_over_two_regions_is_refused)
{
	struct virtq_layout l;

	start(GUEST_REGION_PER_PAGE, 8, 0);
	for (int part = 0; part < 3; part++) {
		l = layout(true);
		*(part == 0   ? &l.desc
		  : part == 1 ? &l.driver
			      : &l.device) = GUEST_DATA + GUEST_PAGE - 16;
		ck_assert_int_eq(virtq_start(&vq, &l, 0), -EFAULT);
	}
}
END_TEST

START_TEST(start_passes_up_our_own_failure)
{
	struct virtq_layout l;

	start(_i, 8, 0);
	l = layout(true);
	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	g->fill_error = -ENOMEM;
	ck_assert_int_eq(virtq_start(&vq, &l, 0), -ENOMEM);
	ck_assert_int_eq(virtq_remap(&vq), -ENOMEM);
	g->fill_error = 0;
	ck_assert_int_eq(virtq_remap(&vq), 0);
}
END_TEST

/* A driver that was given less back than it made available: the rest is somebody else's story. */
START_TEST(used_index_goes_on_from_the_ring)
{
	struct virtq_layout l;
	int head;

	start(_i, 8, 65535);
	l = layout(true);
	g->used->idx = htole16(65530);
	g->last_used = 65530;
	ck_assert_int_eq(virtq_start(&vq, &l, 65535), 0);
	for (int i = 1; i < 20; i++) {
		head = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		take(head);
		finish(head);
		publish_all();
		ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(65530 + i));
		reap(head);
	}
}
END_TEST

START_TEST(largest_ring_fits)
{
	start(_i, VIRTQ_MAX_SIZE, 0);
	for (int i = 0; i < VIRTQ_MAX_SIZE; i++)
		ck_assert_int_ge(guest_add(g, (struct guest_seg){ .len = 1, .addr = GUEST_DATA }),
				 0);
	guest_publish(g);
	for (int i = 0; i < VIRTQ_MAX_SIZE; i++)
		ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(pop(), 0);
	ck_assert_uint_eq(vq.in_flight, VIRTQ_MAX_SIZE);
}
END_TEST

/* ---- what a chain says, by the letter of the specification ---- */

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

static void check_against_model(uint16_t head)
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
	check_pieces(check_pieces(iov, chain.out_count, model_segs, model.count, false),
		     chain.in_count, model_segs, model.count, true);
}

/* ---- a driver that does not behave ---- */

/* Places in the data area, apart enough for every shape. */
#define OUT	   (GUEST_DATA)
#define IN	   (GUEST_DATA + 0x200)
#define STATUS	   (GUEST_DATA + 0x400)
#define TABLE	   (GUEST_DATA + 0x500)
#define END(n)	   (0xee0000ull + (n)) /* n bytes before the end of the data area */
#define TOP_END(n) (GUEST_TOP + GUEST_PAGE - (n))

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

struct plain_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define HEADER                                                                                     \
	{                                                                                          \
		OUT, 16, N, 1                                                                      \
	}
#define LAST                                                                                       \
	{                                                                                          \
		STATUS, 1, W, 0                                                                    \
	}
#define GOOD_TABLE                                                                                 \
	{                                                                                          \
		{ OUT, 16, N, 1 },                                                                 \
		{                                                                                  \
			STATUS, 1, W, 0                                                            \
		}                                                                                  \
	}

/* clang-format off */
/* A ring of 8. The first descriptor is the head; @table is written to where an indirect one points. */
static const struct hostile {
	const char *name;
	struct plain_desc direct[4], table[4];
	int fault;
	bool status; /* last_in is the byte at STATUS, else NULL */
} hostile[] = {
	/* The chain has no end: nobody knows where its status belongs. */
	{ "next is num", { { OUT, 16, N, 8 } }, {}, -EPROTO, false },
	{ "next is 65535", { HEADER, { STATUS, 1, N | W, 0xffff } }, {}, -EPROTO, false },
	{ "loop of one", { { OUT, 16, N, 0 } }, {}, -EPROTO, false },
	{ "loop of two", { HEADER, { STATUS, 1, N | W, 0 } }, {}, -EPROTO, false },
	{ "loop behind the head", { HEADER, { IN, 1, N | W, 2 }, { STATUS, 1, N | W, 1 } }, {},
	  -EPROTO, false },
	{ "loop of nothing", { { OUT, 0, N, 1 }, { OUT, 0, N, 0 } }, {}, -EPROTO, false },
	{ "indirect: next is the number of entries", { { TABLE, 32, I, 0 } },
	  { { OUT, 16, N, 2 } }, -EPROTO, false },
	{ "indirect: next is 65535", { { TABLE, 32, I, 0 } }, { { OUT, 16, N, 0xffff } },
	  -EPROTO, false },
	{ "indirect: loop of one", { { TABLE, 16, I, 0 } }, { { STATUS, 1, N | W, 0 } }, -EPROTO,
	  false },
	{ "indirect: loop of two", { { TABLE, 32, I, 0 } }, { HEADER, { STATUS, 1, N | W, 0 } },
	  -EPROTO, false },
	{ "indirect: loop in a part of the table", { { TABLE, 64, I, 0 } },
	  { HEADER, { STATUS, 1, N | W, 1 } }, -EPROTO, false },
	{ "indirect: next right behind the last", { { TABLE, 16, I, 0 } }, GOOD_TABLE, -EPROTO,
	  false },
	{ "indirect in indirect", { { TABLE, 32, I, 0 } }, { { TABLE, 32, I, 0 } }, -EPROTO,
	  false },
	{ "indirect in indirect, later", { { TABLE, 32, I, 0 } }, { HEADER, { TABLE, 32, I, 0 } },
	  -EPROTO, false },
	{ "indirect with next", { { TABLE, 32, I | N, 1 }, LAST }, GOOD_TABLE, -EPROTO, false },
	{ "indirect with next, later", { HEADER, { TABLE, 32, I | N, 2 }, LAST }, GOOD_TABLE,
	  -EPROTO, false },
	{ "indirect: empty table", { { TABLE, 0, I, 0 } }, GOOD_TABLE, -EPROTO, false },
	{ "indirect: 1 byte", { { TABLE, 1, I, 0 } }, GOOD_TABLE, -EPROTO, false },
	{ "indirect: 15 bytes", { { TABLE, 15, I, 0 } }, GOOD_TABLE, -EPROTO, false },
	{ "indirect: 33 bytes", { { TABLE, 33, I, 0 } }, GOOD_TABLE, -EPROTO, false },
	{ "indirect: 40 bytes", { { TABLE, 40, I, 0 } }, GOOD_TABLE, -EPROTO, false },
	{ "indirect: odd and endless", { { TABLE, 0xffffffff, I, 0 } }, GOOD_TABLE, -EPROTO,
	  false },
	{ "indirect: table nowhere", { { GUEST_NOWHERE, 32, I, 0 } }, {}, -EFAULT, false },
	{ "indirect: table not readable", { { GUEST_WRITE_ONLY, 32, I, 0 } }, GOOD_TABLE, -EFAULT,
	  false },
	{ "indirect: table ends in nothing", { { END(16), 32, I, 0 } }, { HEADER }, -EFAULT,
	  false },
	{ "indirect: entry ends in nothing", { { END(8), 16, I, 0 } }, {}, -EFAULT, false },
	{ "indirect: table wraps", { { TOP_END(16), 32, I, 0 } }, { LAST }, -EFAULT, false },
	{ "indirect: table wraps far", { { TOP_END(16), 0xfffffff0, I, 0 } }, { LAST }, -EFAULT,
	  false },
	{ "indirect: table is the end of the address space", { { TOP_END(16), 16, I, 0 } },
	  { LAST }, 0, true },

	/* The end is known; the data are not to be used. */
	{ "data nowhere", { { GUEST_NOWHERE, 16, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data below everything", { { 0, 16, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data end in nothing", { { END(8), 16, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data wrap", { { TOP_END(8), 9, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data wrap far", { { UINT64_MAX, 0xffffffff, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data endless", { { OUT, 0xffffffff, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data not readable", { { GUEST_WRITE_ONLY, 16, N, 1 }, LAST }, {}, -EFAULT, true },
	{ "data not writable", { HEADER, { GUEST_READ_ONLY, 512, N | W, 2 }, LAST }, {}, -EFAULT,
	  true },
	{ "writable data nowhere", { HEADER, { GUEST_NOWHERE, 512, N | W, 2 }, LAST }, {}, -EFAULT,
	  true },
	{ "readable after writable", { { STATUS, 1, N | W, 1 }, { OUT, 16, 0, 0 } }, {}, -EPROTO,
	  true },
	{ "readable between writable", { { IN, 9, N | W, 1 }, { OUT, 16, N, 2 }, LAST }, {},
	  -EPROTO, true },
	{ "readable after writable, indirect", { { TABLE, 32, I, 0 } },
	  { { STATUS, 1, N | W, 1 }, { OUT, 16, 0, 0 } }, -EPROTO, true },
	{ "writable in the ring, readable in the table",
	  { { STATUS, 1, N | W, 1 }, { TABLE, 16, I, 0 } }, { { OUT, 16, 0, 0 } }, -EPROTO, true },

	/* Nor is there a place for the status. */
	{ "status nowhere", { HEADER, { GUEST_NOWHERE, 1, W, 0 } }, {}, -EFAULT, false },
	{ "status not writable", { HEADER, { GUEST_READ_ONLY, 1, W, 0 } }, {}, -EFAULT, false },
	{ "status just behind the end", { HEADER, { END(8), 9, W, 0 } }, {}, -EFAULT, false },
	{ "status nowhere, data before it", { HEADER, { IN, 8, N | W, 2 },
	  { GUEST_NOWHERE, 1, W, 0 } }, {}, -EFAULT, false },

	/* Odd, and legal. */
	{ "no writable byte", { { OUT, 16, 0, 0 } }, {}, 0, false },
	{ "writable, but empty", { HEADER, { STATUS, 0, W, 0 } }, {}, 0, false },
	{ "empty and nowhere", { HEADER, { GUEST_NOWHERE, 0, N | W, 2 }, LAST }, {}, 0, true },
	{ "empty after the status", { HEADER, { STATUS, 1, N | W, 2 }, { GUEST_NOWHERE, 0, W, 0 } },
	  {}, 0, true },
	{ "empty readable after writable", { { STATUS, 1, N | W, 1 }, { OUT, 0, 0, 0 } }, {}, 0,
	  true },
	{ "unknown flags", { { OUT, 16, 0xfff8 | N, 1 }, { STATUS, 1, 0xfff8 | W, 0 } }, {}, 0,
	  true },
	{ "the same memory twice", { HEADER, { OUT, 16, N, 2 }, LAST }, {}, 0, true },
	{ "header not writable", { { GUEST_READ_ONLY, 16, N, 1 }, LAST }, {}, 0, true },
	{ "data not readable, to write", { HEADER, { GUEST_WRITE_ONLY, 512, N | W, 2 }, LAST }, {},
	  0, true },
	{ "data up to the end of the address space", { { TOP_END(16), 16, N, 1 }, LAST }, {}, 0,
	  true },
	{ "indirect with write flag", { { TABLE, 32, I | W, 0 } }, GOOD_TABLE, 0, true },
	{ "indirect after direct", { HEADER, { TABLE, 16, I, 0 } }, { LAST }, 0, true },
	{ "indirect after all others", { HEADER, { OUT, 1, N, 2 }, { OUT, 2, N, 3 },
	  { TABLE, 32, I, 0 } }, GOOD_TABLE, 0, true },
	{ "indirect: much longer than used", { { TABLE, 0x7ffffff0, I, 0 } }, GOOD_TABLE, 0, true },
	{ "indirect: backwards", { { TABLE, 48, I, 0 } },
	  { { OUT, 16, N, 2 }, LAST, { OUT, 9, N, 1 } }, 0, true },
};
/* clang-format on */

static uint64_t place(uint64_t addr)
{
	return addr >= END(0) && addr < END(0x10000) ? GUEST_DATA + g->data_size - (addr - END(0))
						     : addr;
}

static struct vring_desc ring_format(const struct plain_desc *d)
{
	return guest_desc(place(d->addr), d->len, d->flags, d->next);
}

static void write_hostile(const struct hostile *h)
{
	for (uint16_t i = 0; i < 4; i++) {
		uint64_t table = place(h->direct[i].addr);

		g->desc[i] = ring_format(&h->direct[i]);
		for (uint32_t j = 0; h->direct[i].flags & I && j < 4; j++)
			if (h->table[j].len && guest_has(g, table + 16 * j, 16, 0))
				guest_write_desc(g, table, j, ring_format(&h->table[j]));
	}
}

static void expect_used(uint16_t idx, uint16_t head, uint32_t len)
{
	const struct vring_used_elem *e = &g->used->ring[(uint16_t)(idx - 1) % g->num];

	ck_assert_uint_eq(le16toh(g->used->idx), idx);
	ck_assert_uint_eq(le32toh(e->id), head);
	ck_assert_uint_eq(le32toh(e->len), len);
}

/* Afterwards the queue lives: a good chain behind the bad one. */
static void check_good_chain(uint16_t used_idx)
{
	g->desc[6] = guest_desc(OUT, 16, N, 7);
	g->desc[7] = guest_desc(STATUS, 1, W, 0);
	guest_expose(g, 6);
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, 0);
	ck_assert_uint_eq(chain.out_bytes, 16);
	check_against_model(6);
	push(6, 1);
	publish_all();
	expect_used(used_idx, 6, 1);
	ck_assert_int_eq(pop(), 0);
}

START_TEST(ill_formed_chain_is_taken_with_its_fault)
{
	start(_i, 8, 0);
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		const struct hostile *h = &hostile[i];
		uint8_t *status = h->status ? guest_device_ptr(g, STATUS) : NULL;

		restart(0);
		write_hostile(h);
		guest_expose(g, 0);
		guest_publish(g);

		ck_assert_int_eq(pop(), 1);
		ck_assert_msg(chain.fault == h->fault, "%s: fault %d", h->name, chain.fault);
		ck_assert_msg(chain.last_in == status, "%s: place of the status", h->name);
		ck_assert_uint_eq(vq.in_flight, 1);
		check_against_model(0);
		push(0, 1);
		publish_all();
		expect_used(1, 0, 1);
		check_good_chain(2);
	}
}
END_TEST

START_TEST(status_is_found_where_the_data_before_it_are_not)
{
	start(_i, 8, 0);
	g->desc[0] = guest_desc(OUT, 16, N, 1);
	g->desc[1] = guest_desc(GUEST_WRITE_ONLY - 9, 10, W, 0);
	guest_expose(g, 0);
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, -EFAULT);
	ck_assert_ptr_eq(chain.last_in, guest_device_ptr(g, GUEST_WRITE_ONLY));
	push(0, 0);
}
END_TEST

/* As many descriptors as there are, each over all regions: only the first may be looked at. */
START_TEST(faulty_chain_is_not_mapped)
{
	unsigned int fills;

	start(GUEST_REGION_PER_PAGE, 8, 0);
	g->desc[0] = guest_desc(OUT, 16, N, 1);
	g->desc[1] = guest_desc(GUEST_NOWHERE, 512, N | W, 2);
	for (uint16_t i = 2; i < 7; i++)
		g->desc[i] = guest_desc(GUEST_DATA + GUEST_PAGE, 8 * GUEST_PAGE, N | W, i + 1);
	g->desc[7] = guest_desc(STATUS, 1, W, 0);
	guest_expose(g, 0);
	guest_publish(g);
	fills = g->fills;
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, -EFAULT);
	ck_assert_ptr_eq(chain.last_in, guest_device_ptr(g, STATUS));
	ck_assert_uint_le(g->fills - fills, 1); /* of the header and the status */
	push(0, 0);
}
END_TEST

START_TEST(indirect_table_must_be_negotiated)
{
	struct virtq_layout l;

	start(_i, 8, 0);
	l = layout(false);
	ck_assert_int_eq(virtq_start(&vq, &l, 0), 0);
	g->indirect = true;
	guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, -EPROTO);
	ck_assert_ptr_null(chain.last_in);
	push(0, 0);
}
END_TEST

START_TEST(our_own_failure_is_the_chains_fault)
{
	int a, b;

	start(_i, 8, 0);
	a = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	iotlb_drop(&g->tlb, GUEST_DATA, UINT64_MAX);
	ck_assert_int_eq(virtq_remap(&vq), 0);
	iotlb_drop(&g->tlb, GUEST_READ_ONLY, UINT64_MAX); /* whatever is left is stale */
	g->fill_error = -EMFILE;
	if (COMBO_SHAPE(_i) == GUEST_ONE_REGION)
		iotlb_drop(&g->tlb, 0, UINT64_MAX); /* rings as mapped; only data are looked up */
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, -EMFILE);
	ck_assert_ptr_null(chain.last_in);
	g->fill_error = 0;
	push((uint16_t)a, 0);
	b = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	take(b);
}
END_TEST

/* Chains of one byte per descriptor, at the limit and past it. */
START_TEST(indirect_chain_has_a_limit)
{
	uint32_t count = VIRTQ_MAX_SIZE + (_i & 1);

	start(_i / 2, 8, 0); /* one region, or pages: the table is larger than the area of bytes */
	g->indirect = true;
	for (uint32_t i = 0; i < count; i++)
		guest_write_desc(g, TABLE, i,
				 guest_desc(i + 1 < count ? OUT : STATUS, 1, i + 1 < count ? N : W,
					    (uint16_t)(i + 1)));
	g->desc[3] = guest_desc(TABLE, 16 * count, I, 0);
	guest_expose(g, 3);
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	check_against_model(3);
	ck_assert_int_eq(chain.fault, _i & 1 ? -EPROTO : 0);
	ck_assert_int_eq(!chain.last_in, _i & 1);
	push(3, 0);
}
END_TEST

START_TEST(chain_of_too_many_pieces_still_has_its_status)
{
	static const struct {
		uint32_t out, in;
		int fault;
	} sizes[] = {
		{ VIRTQ_MAX_IOV, 0, 0 },
		{ VIRTQ_MAX_IOV - 1, 1, 0 },
		{ 1, VIRTQ_MAX_IOV - 1, 0 },
		{ VIRTQ_MAX_IOV, 1, -EPROTO },
		{ VIRTQ_MAX_IOV + 1, 0, -EPROTO },
		{ 1, VIRTQ_MAX_IOV, -EPROTO },
		{ VIRTQ_MAX_IOV / 2, VIRTQ_MAX_IOV / 2 + 1, -EPROTO },
	};
	uint32_t out = sizes[_i].out, in = sizes[_i].in;
	uint64_t last = GUEST_DATA + out + in - 1;

	start(GUEST_REGION_PER_BYTE, 8, 0);
	g->desc[0] = guest_desc(GUEST_DATA, out, in ? N : 0, 1);
	g->desc[1] = guest_desc(GUEST_DATA + out, in, W, 0);
	guest_expose(g, 0);
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.fault, sizes[_i].fault);
	ck_assert_ptr_eq(chain.last_in, in ? guest_device_ptr(g, last) : NULL);
	ck_assert_uint_le(chain.out_count + chain.in_count, VIRTQ_MAX_IOV);
	if (!chain.fault)
		ck_assert_uint_eq(chain.out_count + chain.in_count, VIRTQ_MAX_IOV);
	push(0, 0);
}
END_TEST

enum break_how { BREAK_HEAD, BREAK_JUMP, BREAK_TWICE };

static const struct {
	enum break_how how;
	uint16_t value;
} breaks[] = {
	{ BREAK_HEAD, 8 },	{ BREAK_HEAD, 9 },	{ BREAK_HEAD, 0x100 },
	{ BREAK_HEAD, 0xffff }, { BREAK_JUMP, 9 },	{ BREAK_JUMP, 0x7fff },
	{ BREAK_JUMP, 0x8000 }, { BREAK_JUMP, 0xffff }, { BREAK_TWICE, 0 },
};

/* With @flying in the device's hands. */
static void break_ring(int row, int flying)
{
	switch (breaks[row].how) {
	case BREAK_HEAD:
		guest_expose(g, breaks[row].value);
		break;
	case BREAK_JUMP:
		g->avail_idx += breaks[row].value;
		break;
	case BREAK_TWICE:
		guest_expose(g, (uint16_t)flying);
		break;
	}
	guest_publish(g);
}

START_TEST(broken_ring_gives_nothing_more)
{
	start(_i, 8, 0);
	for (int row = 0; row < (int)ARRAY_SIZE(breaks); row++) {
		int flying;

		restart(65534);
		flying = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		take(flying);

		break_ring(row, flying);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 1);
		ck_assert(!virtq_has_work(&vq));
		ck_assert(!virtq_want_kick(&vq));
		guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		ck_assert_int_eq(pop(), -EPROTO);

		/* what is in flight is owed all the same */
		finish(flying);
		publish_all();
		reap(flying);
		ck_assert_int_eq(pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 0);
	}
	restart(7);
	check_good_chain(8);
}
END_TEST

/* Every entry of the ring is a good one; only the index is wrong. */
START_TEST(index_that_jumps_breaks_the_ring_at_once)
{
	static const uint16_t jumps[] = { 9, 10, 0x7fff, 0x8000, 0xfff8, 0xffff };

	start(_i, 8, 0);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(jumps); i++) {
		restart((uint16_t)(i % 3 * 5 + 65531)); /* 65531, 0, 5 */
		for (uint16_t head = 0; head < 8; head++) {
			g->desc[head] = guest_desc(OUT, 16, 0, 0);
			g->avail->ring[head] = htole16(head);
		}
		g->avail_idx += jumps[i / 3];
		guest_publish(g);
		ck_assert_int_eq(pop(), -EPROTO);
		ck_assert_uint_eq(vq.in_flight, 0);
	}
}
END_TEST

START_TEST(same_head_twice_in_one_batch)
{
	int head;

	start(_i, 8, 0);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_expose(g, (uint16_t)head);
	guest_publish(g);
	take(head);
	ck_assert_int_eq(pop(), -EPROTO);
	finish(head);
	ck_assert_int_eq(pop(), -EPROTO);
}
END_TEST

/* Before it is published, the driver cannot know, and a batch must not grow without end. */
START_TEST(same_head_again_before_publish)
{
	start(_i, 8, 0);
	g->desc[5] = guest_desc(OUT, 16, 0, 0);
	guest_expose(g, 5);
	guest_expose(g, 5);
	guest_publish(g);
	ck_assert_int_eq(pop(), 1);
	push(5, 0);
	ck_assert_int_eq(pop(), -EPROTO);
	publish_all();
	ck_assert_int_eq(pop(), -EPROTO);
}
END_TEST

START_TEST(same_head_again_after_publish_is_fine)
{
	start(_i, 8, 0);
	g->desc[5] = guest_desc(OUT, 16, 0, 0);
	for (int i = 0; i < 20; i++) {
		guest_expose(g, 5);
		guest_publish(g);
		ck_assert_int_eq(pop(), 1);
		ck_assert_int_eq(chain.head, 5);
		push(5, 0);
		publish_all();
	}
}
END_TEST

START_TEST(restart_forgets_what_was_in_flight)
{
	start(_i, 8, 0);
	for (int round = 0; round < 3; round++) {
		int flying = guest_add(g, G_OUT(16), G_IN(1)), done = guest_add(g, G_OUT(16));

		guest_publish(g);
		take(flying);
		take(done);
		finish(done); /* and not published */
		restart((uint16_t)(round + 40000));
		check_counters();
	}
	check_good_chain(40003);
}
END_TEST

/* ---- a driver that does anything ---- */

static uint64_t random_addr(void)
{
	switch (random() % 24) {
	case 0:
		return GUEST_NOWHERE;
	case 1:
		return GUEST_READ_ONLY + (uint64_t)random() % GUEST_PAGE;
	case 2:
		return GUEST_WRITE_ONLY + (uint64_t)random() % GUEST_PAGE;
	case 3:
		return UINT64_MAX - (uint64_t)random() % 64;
	case 4:
		return GUEST_DATA + g->data_size - (uint64_t)random() % 64;
	}
	return GUEST_DATA + (uint64_t)random() % g->data_size;
}

static uint32_t random_len(void)
{
	switch (random() % 32) {
	case 0:
		return 0;
	case 1:
		return g->data_size > GUEST_PAGE ? 5000 : 40;
	case 2:
		return random() % 64 ? 16 : UINT32_MAX - (uint32_t)random() % 3;
	}
	return 1 + (uint32_t)random() % 30;
}

/* Entry @at of @entries: most often a link of a good chain. */
static struct vring_desc random_desc(uint32_t at, uint32_t entries)
{
	uint16_t flags = 0, next = (uint16_t)(at + 1);

	if (random() % 4 && at + 1 < entries)
		flags |= N;
	if (random() % 16 == 0)
		flags ^= N;
	if ((at > entries / 2) == (random() % 16 != 0))
		flags |= W;
	if (random() % 12 == 0)
		next = (uint16_t)((uint32_t)random() % (entries + 1));
	if (random() % 8 == 0) {
		uint32_t len = 16 * (1 + (uint32_t)random() % 12);

		return guest_desc(random_addr(), random() % 16 ? len : len + 1,
				  random() % 8 ? I : flags | I, next);
	}
	return guest_desc(random_addr(), random_len(), flags, next);
}

static void scribble(void)
{
	for (int i = random() % 4; i; i--) {
		uint32_t at = (uint32_t)random() % g->num;

		g->desc[at] = random_desc(at, g->num);
	}
}

static void random_ring(void)
{
	for (uint16_t i = 0; i < g->num; i++) {
		uint64_t table = le64toh((g->desc[i] = random_desc(i, g->num)).addr);
		uint32_t entries = le32toh(g->desc[i].len) / 16;

		if (!(le16toh(g->desc[i].flags) & I))
			continue;
		for (uint32_t j = 0; j < MIN(entries, 20); j++)
			if (guest_has(g, table + 16 * j, 16, 0))
				guest_write_desc(g, table, j, random_desc(j, entries));
	}
	for (long i = random() % (g->num + 1); i; i--)
		guest_expose(g, (uint16_t)(random() % g->num));
	if (random() % 32 == 0)
		guest_expose(g, (uint16_t)random());
	if (random() % 32 == 0)
		g->avail_idx += (uint16_t)random();
	guest_publish(g);
}

/* Takes all there is, answering some at once and in any order. */
static void drain(void)
{
	uint16_t flying[64];
	uint32_t count = 0;
	int ret;

	while ((ret = pop()) == 1) {
		check_against_model(chain.head);
		flying[count++] = chain.head;
		while (count && random() % 3 == 0) {
			uint32_t at = (uint32_t)random() % count;

			push(flying[at], (uint32_t)random());
			flying[at] = flying[--count];
		}
		if (random() % 2)
			publish_all();
		scribble();
	}
	ck_assert(ret == 0 || (ret == -EPROTO && vq.broken));
	ck_assert_int_eq(pop(), ret);
	ck_assert_uint_eq(vq.in_flight, count);
	while (count)
		push(flying[--count], 0);
	publish_all();
	ck_assert_uint_eq(popped, pushed);
	ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(vq.last_avail));
}

#define RANDOM_RINGS 7000

START_TEST(random_ring_does_no_harm)
{
	unsigned int broken = 0, well = 0, taken = 0;

	srandom((unsigned int)_i + 1);
	start(_i % GUEST_SHAPES, 16, 0);
	for (int i = 0; i < RANDOM_RINGS; i++) {
		struct virtq_layout l;

		if (i % 1000 == 0)
			iotlb_drop(&g->tlb, 0, UINT64_MAX);
		g->event_idx = random() % 2;
		guest_reset(g, (uint16_t)random());
		l = layout(random() % 4);
		ck_assert_int_eq(virtq_start(&vq, &l, g->avail_idx), 0);
		popped = pushed = 0;
		random_ring();
		drain();
		broken += vq.broken;
		taken += popped;
		well += !chain.fault && popped;
	}
	/* the generator is worth something */
	ck_assert_uint_gt(broken, RANDOM_RINGS / 100);
	ck_assert_uint_gt(taken, RANDOM_RINGS);
	ck_assert_uint_gt(well, RANDOM_RINGS / 10);
}
END_TEST

/* ---- a server that dies ---- */

#define LOG_HEADS 16

static struct inflight_vq *new_log(void)
{
	struct inflight_vq *log = calloc(1, sizeof(*log) + LOG_HEADS * sizeof(log->entries[0]));

	ck_assert_ptr_nonnull(log);
	return log;
}

static void start_with_log(int combo, uint16_t first, struct inflight_vq *log)
{
	start(combo, LOG_HEADS, first);
	virtq_set_log(&vq, log);
	restart(first);
}

/* All that was private is lost; ring and log are what they are. */
static int die_and_recover(struct inflight_vq *log)
{
	struct virtq_layout l = layout(true);
	int count;

	virtq_exit(&vq);
	memset(&vq, 0xa5, sizeof(vq));
	virtq_init(&vq, &g->tlb);
	virtq_set_log(&vq, log);
	count = virtq_recover(&vq, &l);
	popped = pushed = 0;
	return count;
}

START_TEST(chains_in_flight_come_again_in_the_order_they_were_taken)
{
	struct inflight_vq *log = new_log();
	int heads[6];

	start_with_log(_i, 65533, log);
	for (int i = 0; i < 6; i++)
		heads[i] = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	for (int i = 0; i < 5; i++)
		take(heads[i]);
	finish(heads[3]);
	publish_all();
	finish(heads[1]); /* not published: the driver never sees it */

	ck_assert_int_eq(die_and_recover(log), 4);
	check_counters();
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	take(heads[0]);
	take(heads[1]);
	take(heads[2]);
	take(heads[4]);
	take(heads[5]); /* and what nobody had taken yet */
	ck_assert_int_eq(pop(), 0);
	reap(heads[3]);
	for (int i = 5; i >= 0; i--)
		if (i != 3)
			finish(heads[i]);
	publish_all();
	for (int i = 5; i >= 0; i--)
		if (i != 3)
			reap(heads[i]);
	ck_assert_int_eq(die_and_recover(log), 0);
	ck_assert_int_eq(pop(), 0);
	free(log);
}
END_TEST

START_TEST(head_that_comes_again_is_still_in_flight)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 0, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	take(head);
	guest_expose(g, (uint16_t)head);
	guest_publish(g);
	ck_assert_int_eq(die_and_recover(log), 1);
	take(head);
	ck_assert_int_eq(pop(), -EPROTO);
	finish(head);
	publish_all();
	reap(head);
	free(log);
}
END_TEST

START_TEST(chain_that_comes_again_is_work_by_itself)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 0, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	take(head);
	ck_assert_int_eq(die_and_recover(log), 1);
	ck_assert(virtq_has_work(&vq));
	ck_assert(virtq_want_kick(&vq));
	take(head);
	ck_assert(!virtq_has_work(&vq));
	ck_assert(!virtq_want_kick(&vq));
	free(log);
}
END_TEST

START_TEST(log_of_another_ring_is_refused)
{
	struct inflight_vq *log = new_log();

	start_with_log(_i, 100, log);
	g->used->idx = htole16(101 + LOG_HEADS); /* more than could have been given back */
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	g->used->idx = htole16(99); /* backwards */
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	g->used->idx = htole16(100);
	ck_assert_int_eq(die_and_recover(log), 0);
	virtq_stop(&vq); /* the kernel may not have taken the reset yet */
	ck_assert_int_eq(die_and_recover(log), 0);
	inflight_vq_stop(log);
	ck_assert_int_eq(die_and_recover(log), -EINVAL);
	restart(100);
	ck_assert_int_eq(die_and_recover(log), 0);
	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	g->fill_error = -ENOMEM;
	ck_assert_int_eq(die_and_recover(log), -ENOMEM);
	free(log);
}
END_TEST

START_TEST(start_begins_an_empty_log)
{
	struct inflight_vq *log = new_log();
	int head;

	start_with_log(_i, 7, log);
	head = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	take(head);
	restart(9);
	ck_assert_int_eq(die_and_recover(log), 0);
	ck_assert_uint_eq(vq.last_avail, 9);
	free(log);
}
END_TEST

/* Taken and not published, in the order of taking; and those pushed in the current batch. */
static struct {
	uint16_t heads[LOG_HEADS];
	uint32_t count;
	uint16_t batch[LOG_HEADS];
	uint32_t batch_count;
} owed;

static void owed_published(void)
{
	for (uint32_t i = 0; i < owed.batch_count; i++) {
		uint32_t at = 0;

		while (owed.heads[at] != owed.batch[i])
			at++;
		memmove(&owed.heads[at], &owed.heads[at + 1],
			(--owed.count - at) * sizeof(owed.heads[0]));
	}
	owed.batch_count = 0;
}

/* Dies at the end of the last step, or within publish: the index moved, the log only in part. */
static void die_somewhere(struct inflight_vq *log)
{
	size_t size = sizeof(*log) + LOG_HEADS * sizeof(log->entries[0]);
	struct inflight_vq *before = new_log();

	memcpy(before, log, size);
	if (random() % 2 && owed.batch_count) {
		uint32_t cleared = (uint32_t)random() % (owed.batch_count + 1);

		publish_all();
		memcpy(log, before, size);
		for (uint32_t i = 0; i < cleared; i++)
			log->entries[owed.batch[i]] = 0;
		owed_published();
	}
	free(before);
	owed.batch_count = 0;
	must(die_and_recover(log) == (int)owed.count, "how many come again");
	for (uint32_t i = 0; i < owed.count; i++)
		must(pop() == 1 && chain.head == owed.heads[i] && !chain.fault, "what comes again");
}

static void random_step(struct inflight_vq *log)
{
	uint32_t len, at;

	switch (random() % 8) {
	case 0:
	case 1:
		guest_add(g, G_OUT(3), G_IN(1));
		guest_publish(g);
		break;
	case 2:
	case 3:
		if (pop() == 1)
			owed.heads[owed.count++] = chain.head;
		break;
	case 4:
	case 5:
		if (!owed.count)
			break;
		at = (uint32_t)random() % owed.count;
		for (uint32_t i = 0; i < owed.batch_count; i++)
			if (owed.batch[i] == owed.heads[at])
				return;
		push(owed.heads[at], 1);
		owed.batch[owed.batch_count++] = owed.heads[at];
		break;
	case 6:
		publish_all();
		owed_published();
		while (guest_reap(g, &len) >= 0)
			;
		break;
	case 7:
		if (random() % 8 == 0)
			die_somewhere(log);
		break;
	}
}

START_TEST(death_at_any_time_loses_nothing_and_repeats_nothing_published)
{
	struct inflight_vq *log = new_log();
	struct virtq_layout l;
	uint32_t len;

	srandom((unsigned int)_i + 1);
	start_with_log(_i, 65000, log);
	if (_i % 2) { /* a ring whose used index is behind for good */
		g->used->idx = htole16(64990);
		g->last_used = 64990;
		l = layout(true);
		ck_assert_int_eq(virtq_start(&vq, &l, 65000), 0);
	}
	for (int i = 0; i < 20000; i++)
		random_step(log);
	die_somewhere(log);
	while (owed.count)
		push(owed.heads[--owed.count], 1);
	while (pop() == 1)
		push(chain.head, 1);
	publish_all();
	while (guest_reap(g, &len) >= 0) /* aborts on what was not out */
		;
	ck_assert_uint_eq(g->busy, 0);
	free(log);
}
END_TEST

/* ---- driver and device at the same time ---- */

#define RACE_CHAINS 30000
#define LOST_MS	    10000 /* nothing for so long: a kick or an interrupt was lost */

static int kick_fd, call_fd;

static bool wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t ignored;

	return poll(&p, 1, LOST_MS) == 1 && eventfd_read(fd, &ignored) == 0;
}

static void *device_thread(void *arg)
{
	uintptr_t trouble = 0;

	(void)arg;
	for (uint32_t done = 0; done < RACE_CHAINS && !trouble;) {
		virtq_suppress_kicks(&vq);
		while (virtq_pop(&vq, &chain) == 1) {
			trouble += chain.fault || chain.out_bytes != 2 || chain.in_bytes != 1;
			virtq_push(&vq, chain.head, 1);
			done++;
		}
		if (virtq_publish(&vq))
			eventfd_write(call_fd, 1);
		if (!virtq_want_kick(&vq) && done < RACE_CHAINS)
			trouble += !wait_for(kick_fd);
	}
	return (void *)trouble;
}

START_TEST(no_kick_and_no_interrupt_is_lost)
{
	uint32_t added = 0, reaped = 0, len;
	bool lost = false;
	pthread_t device;
	void *trouble;

	start(_i * GUEST_SHAPES, 8, 65000);
	kick_fd = eventfd(0, EFD_CLOEXEC);
	call_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&device, NULL, device_thread, NULL), 0);
	while (reaped < RACE_CHAINS && !lost) {
		g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
		for (int i = 1 + added % 3; i && added < RACE_CHAINS; i--)
			added += guest_add(g, (struct guest_seg){ .len = 2, .addr = OUT },
					   (struct guest_seg){ true, 1, STATUS }) >= 0;
		if (guest_publish(g))
			eventfd_write(kick_fd, 1);
		while (guest_reap(g, &len) >= 0)
			reaped++;
		if (reaped < added && !guest_want_interrupt(g))
			lost = !wait_for(call_fd);
	}
	ck_assert_int_eq(pthread_join(device, &trouble), 0);
	ck_assert_ptr_null(trouble);
	ck_assert(!lost);
	close(kick_fd);
	close(call_fd);
}
END_TEST

/*
 * The two moments at which both sides write first and then look at what the other one wrote. They
 * come together as closely as two CPUs allow: at least one must see the other's write.
 */
#define MOMENTS_MS 400

static atomic_uint moment, moment_done;
static bool moment_device_saw;

static void wait_for_moment(atomic_uint *counter, unsigned int value)
{
	for (unsigned int spins = 1; atomic_load(counter) < value; spins++)
		if (spins % 4096 == 0)
			sched_yield(); /* there may be but one CPU */
}

static void *device_looks(void *arg)
{
	bool (*look)(struct virtq *) = *(bool (**)(struct virtq *))arg;

	for (unsigned int i = 1;; i++) {
		wait_for_moment(&moment, i);
		if (atomic_load(&moment) == UINT_MAX)
			return NULL;
		moment_device_saw = look(&vq);
		atomic_store(&moment_done, i);
	}
}

/* Now, or a little later. */
static void begin_moment(unsigned int i)
{
	atomic_store(&moment, i);
	for (volatile unsigned int delay = i * 7919 % 1024; delay; delay--)
		;
}

/* Has the time come to stop? Looks at the clock now and then. */
static bool enough_moments(unsigned int i)
{
	static struct timespec begin;
	struct timespec now;

	if (i % 256 != 1)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (i == 1)
		begin = now;
	return (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 >
	       MOMENTS_MS;
}

static pthread_t start_moments(bool (*look)(struct virtq *))
{
	static bool (*function)(struct virtq *);
	pthread_t device;

	function = look;
	ck_assert_int_eq(pthread_create(&device, NULL, device_looks, &function), 0);
	return device;
}

static void stop_moments(pthread_t device)
{
	atomic_store(&moment, UINT_MAX);
	ck_assert_int_eq(pthread_join(device, NULL), 0);
}

START_TEST(kick_is_not_lost_at_the_moment_the_device_asks_for_it)
{
	pthread_t device;
	uint32_t len;

	start(_i * GUEST_SHAPES * 2, 8, 65000);
	device = start_moments(virtq_want_kick);
	for (unsigned int i = 1; !enough_moments(i); i++) {
		bool kicked;

		virtq_suppress_kicks(&vq);
		guest_add(g, (struct guest_seg){ .len = 2, .addr = OUT });
		begin_moment(i);
		kicked = guest_publish(g);
		wait_for_moment(&moment_done, i);
		must(kicked || moment_device_saw, "chain %u was noticed by nobody", i);
		must(virtq_pop(&vq, &chain) == 1, "no chain");
		virtq_push(&vq, chain.head, 0);
		publish_all();
		must(guest_reap(g, &len) >= 0, "not used");
	}
	stop_moments(device);
}
END_TEST

START_TEST(interrupt_is_not_lost_at_the_moment_the_driver_asks_for_it)
{
	pthread_t device;
	uint32_t len;

	start(_i * GUEST_SHAPES * 2, 8, 65000);
	device = start_moments(virtq_publish);
	for (unsigned int i = 1; !enough_moments(i); i++) {
		bool driver_saw;

		g->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
		guest_add(g, (struct guest_seg){ .len = 2, .addr = OUT });
		guest_publish(g);
		must(virtq_pop(&vq, &chain) == 1, "no chain");
		virtq_push(&vq, chain.head, 0);
		begin_moment(i);
		driver_saw = guest_want_interrupt(g);
		wait_for_moment(&moment_done, i);
		must(driver_saw || moment_device_saw, "chain %u was noticed by nobody", i);
		must(guest_reap(g, &len) >= 0, "not used");
	}
	stop_moments(device);
}
END_TEST

static TCase *behaving_driver(void)
{
	TCase *tc = tcase_create("driver");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, nothing_is_taken_from_an_empty_ring, 0, COMBOS);
	tcase_add_loop_test(tc, chain_is_what_the_driver_made, 0, COMBOS);
	tcase_add_loop_test(tc, indices_wrap, 0, COMBOS);
	tcase_add_loop_test(tc, full_ring_is_taken_whole, 0, COMBOS);
	tcase_add_loop_test(tc, longest_direct_chain, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, used_in_the_order_of_pushing, 0, COMBOS);
	tcase_add_loop_test(tc, interrupt_where_the_event_index_lies_in_the_batch, 0, 5);
	tcase_add_test(tc, interrupt_decision_begins_where_the_last_one_ended);
	tcase_add_test(tc, interrupt_unless_the_flag_says_no);
	tcase_add_loop_test(tc, driver_kicks_only_when_asked, 0, COMBOS);
	tcase_add_loop_test(tc, want_kick_sees_what_came_before_it, 0, COMBOS);
	tcase_add_loop_test(tc, descriptors_changed_after_pop_do_not_matter, 0, COMBOS);
	tcase_add_loop_test(tc, remap_follows_memory_that_moved, 0, COMBOS);
	tcase_add_test(tc, start_checks_the_layout);
	tcase_add_test(tc, ring_over_two_regions_is_refused);
	tcase_add_loop_test(tc, start_passes_up_our_own_failure, 0, COMBOS);
	tcase_add_loop_test(tc, used_index_goes_on_from_the_ring, 0, COMBOS);
	tcase_add_loop_test(tc, largest_ring_fits, 0, GUEST_SHAPES);
	return tc;
}

static TCase *hostile_driver(void)
{
	TCase *tc = tcase_create("hostile");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, ill_formed_chain_is_taken_with_its_fault, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, status_is_found_where_the_data_before_it_are_not, 0, GUEST_SHAPES);
	tcase_add_test(tc, faulty_chain_is_not_mapped);
	tcase_add_loop_test(tc, indirect_table_must_be_negotiated, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, our_own_failure_is_the_chains_fault, 0, COMBOS);
	tcase_add_loop_test(tc, indirect_chain_has_a_limit, 0, 4);
	tcase_add_loop_test(tc, chain_of_too_many_pieces_still_has_its_status, 0, 7);
	tcase_add_loop_test(tc, broken_ring_gives_nothing_more, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, index_that_jumps_breaks_the_ring_at_once, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, same_head_twice_in_one_batch, 0, COMBOS);
	tcase_add_loop_test(tc, same_head_again_before_publish, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, same_head_again_after_publish_is_fine, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, restart_forgets_what_was_in_flight, 0, COMBOS);
	return tc;
}

static TCase *random_driver(void)
{
	TCase *tc = tcase_create("random");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, random_ring_does_no_harm, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, no_kick_and_no_interrupt_is_lost, 0, 4);
	tcase_add_loop_test(tc, kick_is_not_lost_at_the_moment_the_device_asks_for_it, 0, 2);
	tcase_add_loop_test(tc, interrupt_is_not_lost_at_the_moment_the_driver_asks_for_it, 0, 2);
	return tc;
}

static TCase *dying_server(void)
{
	TCase *tc = tcase_create("recovery");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, chains_in_flight_come_again_in_the_order_they_were_taken, 0,
			    COMBOS);
	tcase_add_loop_test(tc, head_that_comes_again_is_still_in_flight, 0, GUEST_SHAPES);
	tcase_add_test(tc, chain_that_comes_again_is_work_by_itself);
	tcase_add_test(tc, log_of_another_ring_is_refused);
	tcase_add_test(tc, start_begins_an_empty_log);
	tcase_add_loop_test(tc, death_at_any_time_loses_nothing_and_repeats_nothing_published, 0,
			    COMBOS);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtq");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, behaving_driver());
	suite_add_tcase(suite, hostile_driver());
	suite_add_tcase(suite, random_driver());
	suite_add_tcase(suite, dying_server());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
