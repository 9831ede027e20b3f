// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c: chains that make no sense are taken, and do no harm. */
#include <errno.h>

#include "suite.h"
#include "virtq_fixture.h"

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
	return driver_ring_desc(place(d->addr), d->len, d->flags, d->next);
}

static void write_hostile(const struct hostile *h)
{
	for (uint16_t i = 0; i < 4; i++) {
		uint64_t table = place(h->direct[i].addr);

		g->desc[i] = ring_format(&h->direct[i]);
		for (uint32_t j = 0; h->direct[i].flags & I && j < 4; j++)
			if (h->table[j].len && guest_has(g, table + 16 * j, 16, 0))
				driver_ring_write_desc(&g->ring, table, j,
						       ring_format(&h->table[j]));
	}
}

START_TEST(ill_formed_chain_is_taken_with_its_fault)
{
	vq_start(_i, 8, 0);
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		const struct hostile *h = &hostile[i];
		uint8_t *status = h->status ? guest_device_ptr(g, STATUS) : NULL;

		vq_restart(0);
		write_hostile(h);
		driver_ring_expose(&g->ring, 0);
		guest_publish(g);

		ck_assert_int_eq(vq_pop(), 1);
		ck_assert_msg(chain.fault == h->fault, "%s: fault %d", h->name, chain.fault);
		ck_assert_msg(chain.last_in == status, "%s: place of the status", h->name);
		ck_assert_uint_eq(vq.in_flight, 1);
		vq_check_against_model(0);
		vq_push(0, 1);
		vq_publish_all();
		vq_expect_used(1, 0, 1);
		vq_check_good_chain(2);
	}
}
END_TEST

START_TEST(status_is_found_where_the_data_before_it_are_not)
{
	vq_start(_i, 8, 0);
	g->desc[0] = driver_ring_desc(OUT, 16, N, 1);
	g->desc[1] = driver_ring_desc(GUEST_WRITE_ONLY - 9, 10, W, 0);
	driver_ring_expose(&g->ring, 0);
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, -EFAULT);
	ck_assert_ptr_eq(chain.last_in, guest_device_ptr(g, GUEST_WRITE_ONLY));
	vq_push(0, 0);
}
END_TEST

/* As many descriptors as there are, each over all regions: only the first may be looked at. */
START_TEST(faulty_chain_is_not_mapped)
{
	unsigned int fills;

	vq_start(GUEST_REGION_PER_PAGE, 8, 0);
	g->desc[0] = driver_ring_desc(OUT, 16, N, 1);
	g->desc[1] = driver_ring_desc(GUEST_NOWHERE, 512, N | W, 2);
	for (uint16_t i = 2; i < 7; i++)
		g->desc[i] =
			driver_ring_desc(GUEST_DATA + GUEST_PAGE, 8 * GUEST_PAGE, N | W, i + 1);
	g->desc[7] = driver_ring_desc(STATUS, 1, W, 0);
	driver_ring_expose(&g->ring, 0);
	guest_publish(g);
	fills = g->fills;
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, -EFAULT);
	ck_assert_ptr_eq(chain.last_in, guest_device_ptr(g, STATUS));
	ck_assert_uint_le(g->fills - fills, 1); /* of the header and the status */
	vq_push(0, 0);
}
END_TEST

START_TEST(indirect_table_must_be_negotiated)
{
	struct virtq_layout l;

	vq_start(_i, 8, 0);
	l = vq_layout(false);
	ck_assert_int_eq(virtq_start(&vq, &l, 0), 0);
	g->indirect = true;
	guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, -EPROTO);
	ck_assert_ptr_null(chain.last_in);
	vq_push(0, 0);
}
END_TEST

START_TEST(our_own_failure_is_the_chains_fault)
{
	int a, b;

	vq_start(_i, 8, 0);
	a = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	iotlb_drop(&g->tlb, GUEST_DATA, UINT64_MAX);
	ck_assert_int_eq(virtq_remap(&vq), 0);
	iotlb_drop(&g->tlb, GUEST_READ_ONLY, UINT64_MAX); /* whatever is left is stale */
	g->fill_error = -EMFILE;
	if (COMBO_SHAPE(_i) == GUEST_ONE_REGION)
		iotlb_drop(&g->tlb, 0, UINT64_MAX); /* rings as mapped; only data are looked up */
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, -EMFILE);
	ck_assert_ptr_null(chain.last_in);
	g->fill_error = 0;
	vq_push((uint16_t)a, 0);
	b = guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	vq_take(b);
}
END_TEST

/* Chains of one byte per descriptor, at the limit and past it. */
START_TEST(indirect_chain_has_a_limit)
{
	uint32_t count = VIRTQ_MAX_SIZE + (_i & 1);

	vq_start(_i / 2, 8,
		 0); /* one region, or pages: the table is larger than the area of bytes */
	g->indirect = true;
	for (uint32_t i = 0; i < count; i++)
		driver_ring_write_desc(&g->ring, TABLE, i,
				       driver_ring_desc(i + 1 < count ? OUT : STATUS, 1,
							i + 1 < count ? N : W, (uint16_t)(i + 1)));
	g->desc[3] = driver_ring_desc(TABLE, 16 * count, I, 0);
	driver_ring_expose(&g->ring, 3);
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	vq_check_against_model(3);
	ck_assert_int_eq(chain.fault, _i & 1 ? -EPROTO : 0);
	ck_assert_int_eq(!chain.last_in, _i & 1);
	vq_push(3, 0);
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

	vq_start(GUEST_REGION_PER_BYTE, 8, 0);
	g->desc[0] = driver_ring_desc(GUEST_DATA, out, in ? N : 0, 1);
	g->desc[1] = driver_ring_desc(GUEST_DATA + out, in, W, 0);
	driver_ring_expose(&g->ring, 0);
	guest_publish(g);
	ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(chain.fault, sizes[_i].fault);
	ck_assert_ptr_eq(chain.last_in, in ? guest_device_ptr(g, last) : NULL);
	ck_assert_uint_le(chain.out_count + chain.in_count, VIRTQ_MAX_IOV);
	if (!chain.fault)
		ck_assert_uint_eq(chain.out_count + chain.in_count, VIRTQ_MAX_IOV);
	vq_push(0, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_hostile");
	TCase *tc = suite_case(suite, "hostile", test_log_begin, vq_teardown);

	tcase_add_loop_test(tc, ill_formed_chain_is_taken_with_its_fault, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, status_is_found_where_the_data_before_it_are_not, 0, GUEST_SHAPES);
	tcase_add_test(tc, faulty_chain_is_not_mapped);
	tcase_add_loop_test(tc, indirect_table_must_be_negotiated, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, our_own_failure_is_the_chains_fault, 0, COMBOS);
	tcase_add_loop_test(tc, indirect_chain_has_a_limit, 0, 4);
	tcase_add_loop_test(tc, chain_of_too_many_pieces_still_has_its_status, 0, 7);
	return suite_run(suite);
}
