// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/virtq_dirty.c and virtq.c: the pages in the dirty log are those that the device has written. */
#include <check.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "virtq_fixture.h"

#define PAGE	 4096ull
#define USED	 0x10234ull /* where the log has the used ring: not where the device finds it */
#define ELEMENTS (USED + 4)
#define LOG_SIZE ((GUEST_NOWHERE >> DIRTY_LOG_PAGE_SHIFT) / 8)

static struct dirty_log dirty;
static uint8_t *expected;

static void start(int combo, uint16_t num, uint16_t first)
{
	vq_start(combo, num, first);
	virtq_set_dirty_log(&vq, &dirty, USED);
}

static void setup(void)
{
	test_log_begin();
	dirty = (struct dirty_log){ .bits = calloc(1, LOG_SIZE), .size = LOG_SIZE };
	expected = calloc(1, LOG_SIZE);
	ck_assert(dirty.bits && expected);
}

static void teardown(void)
{
	vq_teardown();
	free(dirty.bits);
	free(expected);
}

static void expect_written(uint64_t addr, uint64_t len)
{
	for (uint64_t page = addr / PAGE; len && page <= (addr + len - 1) / PAGE; page++)
		expected[page / 8] |= (uint8_t)(1u << page % 8);
}

/* No more and no less than what was expected since the last call. */
static void check_log(void)
{
	for (uint64_t page = 0; page < LOG_SIZE * 8; page++)
		must(!((dirty.bits[page / 8] ^ expected[page / 8]) >> page % 8 & 1),
		     "page 0x%llx: %s", (unsigned long long)page,
		     expected[page / 8] >> page % 8 & 1 ? "is missing" : "was not written");
	memset(dirty.bits, 0, LOG_SIZE);
	memset(expected, 0, LOG_SIZE);
}

static void expect_chain(int head)
{
	const struct guest_chain *made = &g->chains[head];

	for (size_t i = 0; i < made->count; i++)
		if (made->segs[i].in)
			expect_written(made->segs[i].addr, made->segs[i].len);
}

static void expect_element(uint16_t used_idx)
{
	expect_written(ELEMENTS + (used_idx % g->num) * sizeof(struct vring_used_elem),
		       sizeof(struct vring_used_elem));
}

/* clang-format off */
static const struct {
	size_t count;
	struct chain_part segs[5];
} chains[] = {
	{ 2, { G_OUT(16), G_IN(1) } },
	{ 3, { G_OUT(16), G_OUT(9000), G_IN(1) } },
	{ 3, { G_OUT(16), G_IN(9000), G_IN(1) } },
	{ 4, { G_OUT(16), G_IN(4096), G_IN(12288), G_IN(1) } },
	{ 4, { G_OUT(9000), G_IN(0), G_IN(5000), G_IN(0) } },
	{ 1, { G_OUT(100) } },
	{ 5, { G_OUT(8), G_OUT(8), G_IN(100), G_IN(100), G_IN(40000) } },
};
/* clang-format on */

START_TEST(what_the_device_may_write_is_marked_when_it_is_pushed)
{
	int combo = COMBO_SHAPE(_i) == GUEST_REGION_PER_BYTE ? _i - 1 : _i;

	start(combo, 8, 65530);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(chains); i++) {
		uint16_t used_idx = vq.used_idx;
		int head = guest_add_segs(g, chains[i / 3].segs, chains[i / 3].count);

		guest_publish(g);
		vq_take(head);
		check_log(); /* nothing */
		expect_chain(head);
		expect_element(used_idx);
		vq_finish(head);
		check_log();
		expect_written(USED + 2, 2);
		vq_publish_all();
		check_log();
		vq_reap(head);
	}
}
END_TEST

/* The used ring has several pages. */
START_TEST(each_used_element_is_in_its_page)
{
	start(_i, VIRTQ_MAX_SIZE, 0);
	for (uint16_t i = 0; i < 3 * VIRTQ_MAX_SIZE / 2; i++) {
		int head = guest_add(g, G_IN(1));

		guest_publish(g);
		vq_take(head);
		expect_chain(head);
		expect_element(i);
		vq_finish(head);
		check_log();
		vq_publish_all();
		memset(dirty.bits, 0, LOG_SIZE);
		vq_reap(head);
	}
}
END_TEST

START_TEST(requests_for_kicks)
{
	start(_i, 1024, 0);
	virtq_suppress_kicks(&vq);
	if (!g->event_idx)
		expect_written(USED, 2);
	check_log();
	ck_assert(!virtq_want_kick(&vq));
	if (g->event_idx)
		expect_written(ELEMENTS + 1024 * sizeof(struct vring_used_elem), 2);
	else
		expect_written(USED, 2);
	check_log();
}
END_TEST

/* The flags and the index are two bytes each, in the last bytes of a page and the next one. */
START_TEST(flags_and_index_in_different_pages)
{
	int head;

	start(0, 8, 0);
	virtq_set_dirty_log(&vq, &dirty, 0x10000 - 2);
	virtq_suppress_kicks(&vq);
	expect_written(0x10000 - 2, 2);
	check_log();
	head = guest_add(g, G_OUT(16));
	guest_publish(g);
	vq_take(head);
	vq_finish(head);
	expect_written(0x10002, 8);
	check_log();
	vq_publish_all();
	expect_written(0x10000, 2);
	check_log();
	vq_reap(head);
}
END_TEST

START_TEST(nothing_is_published)
{
	start(_i, 8, 0);
	ck_assert(!virtq_publish(&vq));
	check_log();
}
END_TEST

START_TEST(log_is_taken_away)
{
	int head;

	start(_i, 8, 0);
	head = guest_add(g, G_OUT(16), G_IN(512), G_IN(1));
	guest_publish(g);
	vq_take(head);
	virtq_set_dirty_log(&vq, NULL, 0);
	vq_finish(head);
	vq_publish_all();
	virtq_suppress_kicks(&vq);
	ck_assert(!virtq_want_kick(&vq));
	check_log();
	vq_reap(head);
}
END_TEST

/* The log is cut off in the middle of the data. */
START_TEST(end_of_the_log)
{
	uint64_t end = GUEST_DATA / PAGE + 3;
	int head;

	start(0, 8, 0);
	head = guest_add(g, G_OUT(16), G_IN(40000), G_IN(1));
	guest_publish(g);
	vq_take(head);
	dirty.size = ROUND_UP(end, 8) / 8;
	expect_chain(head);
	expect_element(0);
	memset(expected + dirty.size, 0, LOG_SIZE - dirty.size);
	vq_finish(head);
	check_log();
	vq_publish_all();
	vq_reap(head);
}
END_TEST

/* ---- a driver that changes its chains while they are in flight ---- */

static void write_desc(struct vring_desc *at, uint64_t addr, uint32_t len, uint16_t flags,
		       uint16_t next)
{
	*at = (struct vring_desc){ .addr = htole64(addr),
				   .len = htole32(len),
				   .flags = htole16(flags),
				   .next = htole16(next) };
}

static void write_entry(uint16_t index, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc desc;

	write_desc(&desc, addr, len, flags, next);
	guest_write(g, TABLE + index * sizeof(desc), &desc, sizeof(desc));
}

/* The walk of the changed chain ends, and marks what it has found until then. */
static void check_push(void)
{
	uint16_t used_idx = vq.used_idx;

	expect_element(used_idx);
	vq_push(0, UINT32_MAX);
	check_log();
}

static void take_head_0(void)
{
	start(0, 8, 0);
	g->indirect = false;
	ck_assert_int_eq(guest_add(g, G_OUT(16), G_IN(1)), 0);
	guest_publish(g);
	vq_take(0);
}

#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE

START_TEST(chain_becomes_a_loop)
{
	take_head_0();
	write_desc(&g->desc[0], 0x3000, 1, NEXT | WRITE, 1);
	write_desc(&g->desc[1], 0x5000, PAGE, NEXT | WRITE, 0);
	expect_written(0x3000, 1);
	expect_written(0x5000, PAGE);
	check_push();
}
END_TEST

START_TEST(chain_becomes_longer)
{
	take_head_0();
	for (uint16_t i = 0; i < 8; i++) {
		write_desc(&g->desc[i], (i + 3) * PAGE, 1, WRITE | (i < 7 ? NEXT : 0), i + 1);
		expect_written((i + 3) * PAGE, 1);
	}
	check_push();
}
END_TEST

START_TEST(chain_leaves_the_ring)
{
	take_head_0();
	write_desc(&g->desc[0], 0x3000, 1, NEXT | WRITE, _i ? 8 : 65535);
	expect_written(0x3000, 1);
	check_push();
}
END_TEST

START_TEST(chain_is_not_written_any_more)
{
	take_head_0();
	write_desc(&g->desc[0], 0x3000, 1, NEXT, 1);
	write_desc(&g->desc[1], 0x5000, 1, 0, 0);
	check_push();
}
END_TEST

static void point_to_table(uint32_t len)
{
	write_desc(&g->desc[0], TABLE, len, VRING_DESC_F_INDIRECT | NEXT, 1);
	write_desc(&g->desc[1], 0x9000, 1, WRITE, 0); /* not part of it */
}

START_TEST(chain_becomes_indirect)
{
	take_head_0();
	write_entry(0, 0x3000, PAGE, NEXT, 2);
	write_entry(1, 0x4000, 1, WRITE, 0);
	write_entry(2, 0x5000, PAGE, NEXT | WRITE, 1);
	point_to_table(3 * sizeof(struct vring_desc));
	expect_written(0x5000, PAGE);
	expect_written(0x4000, 1);
	check_push();
}
END_TEST

START_TEST(table_is_empty)
{
	take_head_0();
	write_entry(0, 0x3000, 1, WRITE, 0);
	point_to_table(_i ? sizeof(struct vring_desc) - 1 : 0);
	check_push();
}
END_TEST

START_TEST(table_becomes_a_loop)
{
	take_head_0();
	write_entry(0, 0x3000, 1, NEXT | WRITE, 1);
	write_entry(1, 0x5000, 1, NEXT | WRITE, 0);
	point_to_table(2 * sizeof(struct vring_desc));
	expect_written(0x3000, 1);
	expect_written(0x5000, 1);
	check_push();
}
END_TEST

START_TEST(chain_leaves_the_table)
{
	take_head_0();
	write_entry(0, 0x3000, 1, NEXT | WRITE, _i ? 2 : 65535);
	write_entry(2, 0x5000, 1, WRITE, 0);
	point_to_table(2 * sizeof(struct vring_desc));
	expect_written(0x3000, 1);
	check_push();
}
END_TEST

START_TEST(table_is_nowhere)
{
	take_head_0();
	write_desc(&g->desc[0], GUEST_NOWHERE, 64, VRING_DESC_F_INDIRECT, 0);
	check_push();
}
END_TEST

/* As many entries as a chain may have, and one more that is not looked at. */
START_TEST(table_has_the_greatest_size)
{
	take_head_0();
	for (uint32_t i = 0; i <= VIRTQ_MAX_SIZE; i++) {
		write_entry((uint16_t)i, (i + 0x20) * PAGE, 1, NEXT | WRITE, (uint16_t)(i + 1));
		if (i < VIRTQ_MAX_SIZE)
			expect_written((i + 0x20) * PAGE, 1);
	}
	point_to_table((VIRTQ_MAX_SIZE + 1) * sizeof(struct vring_desc));
	check_push();
}
END_TEST

/* A refused request: the status byte was written, whatever else the chain names. */
START_TEST(what_was_not_written_is_not_marked)
{
	take_head_0();
	for (uint32_t i = 0; i < VIRTQ_MAX_SIZE; i++)
		write_entry((uint16_t)i, 0x3000, 16 * PAGE, NEXT | WRITE, (uint16_t)(i + 1));
	write_entry(VIRTQ_MAX_SIZE - 1, 0x20000, 2 * PAGE, WRITE, 0);
	point_to_table(VIRTQ_MAX_SIZE * sizeof(struct vring_desc));
	expect_element(vq.used_idx);
	if (_i)
		expect_written(0x3000, PAGE + 1);
	expect_written(0x20000 + 2 * PAGE - 1, 1);
	vq_push(0, _i ? PAGE + 1 : 0);
	check_log();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtq_dirty");
	TCase *tc = suite_case(s, "virtq_dirty", setup, teardown);

	tcase_add_loop_test(tc, what_the_device_may_write_is_marked_when_it_is_pushed, 0, COMBOS);
	tcase_add_loop_test(tc, each_used_element_is_in_its_page, 0, 1);
	tcase_add_loop_test(tc, requests_for_kicks, 0, COMBOS);
	tcase_add_test(tc, flags_and_index_in_different_pages);
	tcase_add_loop_test(tc, nothing_is_published, 0, COMBOS);
	tcase_add_loop_test(tc, log_is_taken_away, 0, COMBOS);
	tcase_add_test(tc, end_of_the_log);
	tcase_add_test(tc, chain_becomes_a_loop);
	tcase_add_test(tc, chain_becomes_longer);
	tcase_add_loop_test(tc, chain_leaves_the_ring, 0, 2);
	tcase_add_test(tc, chain_is_not_written_any_more);
	tcase_add_test(tc, chain_becomes_indirect);
	tcase_add_loop_test(tc, table_is_empty, 0, 2);
	tcase_add_test(tc, table_becomes_a_loop);
	tcase_add_loop_test(tc, chain_leaves_the_table, 0, 2);
	tcase_add_test(tc, table_is_nowhere);
	tcase_add_test(tc, table_has_the_greatest_size);
	tcase_add_loop_test(tc, what_was_not_written_is_not_marked, 0, 2);
	return suite_run(s);
}
