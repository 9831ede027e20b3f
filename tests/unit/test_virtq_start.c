// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq.c: where a ring begins, and what it must be like. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "suite.h"
#include "virtq_fixture.h"

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
	vq_start(GUEST_REGION_PER_PAGE, 8, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad_layouts); i++) {
		struct virtq_layout l = vq_layout(true);
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

	vq_start(GUEST_REGION_PER_PAGE, 8, 0);
	for (int part = 0; part < 3; part++) {
		l = vq_layout(true);
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

	vq_start(_i, 8, 0);
	l = vq_layout(true);
	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	g->fill_error = -ENOMEM;
	ck_assert_int_eq(virtq_start(&vq, &l, 0), -ENOMEM);
	ck_assert_int_eq(virtq_remap(&vq), -ENOMEM);
	g->fill_error = 0;
	ck_assert_int_eq(virtq_remap(&vq), 0);
}
END_TEST

/* Memory that lies elsewhere than its address says: an IOVA is aligned, or what is behind it. */
static struct {
	_Alignas(4096) uint8_t memory[3 * 4096];
	size_t shift[3]; /* of the memory of each ring */
} odd;

static int odd_fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	size_t part = (iova - 0x10000) / 0x1000;

	(void)ctx;
	*region = (struct iotlb_region){
		.start = 0x10000 + part * 0x1000,
		.last = 0x10000 + part * 0x1000 + 0x7ff,
		.addr = odd.memory + part * 0x1000 + odd.shift[part],
		.prot = PROT_READ | PROT_WRITE,
	};
	return 0;
}

static void odd_release(void *ctx, const struct iotlb_region *region)
{
	(void)ctx, (void)region;
}

static int start_odd(int part, size_t iova, size_t memory)
{
	static const struct iotlb_ops ops = { .fill = odd_fill, .release = odd_release };
	struct virtq_layout l = { 8, 0x10000, 0x11000, 0x12000, .event_idx = false };
	struct iotlb tlb;
	struct virtq queue;
	int err;

	memset(odd.shift, 0, sizeof(odd.shift));
	odd.shift[part] = memory;
	*(part == 0 ? &l.desc : part == 1 ? &l.driver : &l.device) += iova;
	iotlb_init(&tlb, &ops, NULL);
	memset(&queue, 0xa5, sizeof(queue)); /* nothing is taken for granted */
	virtq_init(&queue, &tlb);
	err = virtq_start(&queue, &l, 0);
	virtq_exit(&queue);
	iotlb_exit(&tlb);
	return err;
}

START_TEST(address_and_memory_of_each_ring_are_aligned)
{
	static const size_t align[] = { 16, 2, 4 };
	int part = _i;

	vq_start(0, 8, 0);
	ck_assert_int_eq(start_odd(part, 0, 0), 0);
	ck_assert_int_eq(start_odd(part, align[part], align[part]), 0);
	ck_assert_int_eq(start_odd(part, 0, align[part] / 2), -EINVAL);
	ck_assert_int_eq(start_odd(part, align[part] / 2, align[part] / 2), -EINVAL);
}
END_TEST

/* A driver that was given less back than it made available: the rest is somebody else's story. */
START_TEST(used_index_goes_on_from_the_ring)
{
	struct virtq_layout l;
	int head;

	vq_start(_i, 8, 65535);
	l = vq_layout(true);
	g->used->idx = htole16(65530);
	g->last_used = 65530;
	ck_assert_int_eq(virtq_start(&vq, &l, 65535), 0);
	for (int i = 1; i < 20; i++) {
		head = guest_add(g, G_OUT(16), G_IN(1));
		guest_publish(g);
		vq_take(head);
		vq_finish(head);
		vq_publish_all();
		ck_assert_uint_eq(le16toh(g->used->idx), (uint16_t)(65530 + i));
		vq_reap(head);
	}
}
END_TEST

START_TEST(largest_ring_fits)
{
	vq_start(_i, VIRTQ_MAX_SIZE, 0);
	for (int i = 0; i < VIRTQ_MAX_SIZE; i++)
		ck_assert_int_ge(guest_add(g, (struct chain_part){ .len = 1, .addr = GUEST_DATA }),
				 0);
	guest_publish(g);
	for (int i = 0; i < VIRTQ_MAX_SIZE; i++)
		ck_assert_int_eq(vq_pop(), 1);
	ck_assert_int_eq(vq_pop(), 0);
	ck_assert_uint_eq(vq.in_flight, VIRTQ_MAX_SIZE);
}
END_TEST

START_TEST(restart_forgets_what_was_in_flight)
{
	vq_start(_i, 8, 0);
	for (int round = 0; round < 3; round++) {
		int flying = guest_add(g, G_OUT(16), G_IN(1)), done = guest_add(g, G_OUT(16));

		guest_publish(g);
		vq_take(flying);
		vq_take(done);
		vq_finish(done); /* and not published */
		vq_restart((uint16_t)(round + 40000));
		vq_check_counters();
	}
	vq_check_good_chain(40003);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_start");
	TCase *tc = suite_case(suite, "start", test_log_begin, vq_teardown);

	tcase_add_test(tc, start_checks_the_layout);
	tcase_add_test(tc, ring_over_two_regions_is_refused);
	tcase_add_loop_test(tc, address_and_memory_of_each_ring_are_aligned, 0, 3);
	tcase_add_loop_test(tc, start_passes_up_our_own_failure, 0, COMBOS);
	tcase_add_loop_test(tc, used_index_goes_on_from_the_ring, 0, COMBOS);
	tcase_add_loop_test(tc, largest_ring_fits, 0, GUEST_SHAPES);
	tcase_add_loop_test(tc, restart_forgets_what_was_in_flight, 0, COMBOS);
	return suite_run(suite);
}
