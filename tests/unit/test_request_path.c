// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The way of a request: vduse-blk/queue/worker.c, queue.c, and what they call, over a real ring and a
 * real file. The kernel, the driver, and the store's time are the test's.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

#define SECTORS (RIG_DISK_SIZE / SECTOR_SIZE)

/* Loops run over all four kinds of rings. */
#define RING_KINDS 4

static void start_ring_kind(int kind)
{
	rig.event_idx = kind & 1;
	rig.indirect = kind & 2;
	rig_start();
	rig_driver_start();
}

static void write_bytes(uint32_t queue, uint64_t sector, uint8_t byte, uint32_t len)
{
	struct rig_req req = rig_add(queue, VIRTIO_BLK_T_OUT, sector, len);
	uint8_t data[8192];

	memset(data, byte, len);
	rig_fill(&req, data, len);
	rig_go(queue);
	ck_assert_int_eq(rig_finish(&req), OK);
	ck_assert_uint_eq(rig.used_len, 1);
}

static void check_bytes(uint32_t queue, uint64_t sector, uint8_t byte, uint32_t len)
{
	struct rig_req req = rig_add(queue, VIRTIO_BLK_T_IN, sector, len);
	uint8_t data[8192];

	rig_go(queue);
	ck_assert_int_eq(rig_finish(&req), OK);
	ck_assert_uint_eq(rig.used_len, len + 1);
	guest_read(rig.guests[queue], req.data, data, len);
	for (uint32_t i = 0; i < len; i++)
		must(data[i] == byte, "byte %u is 0x%x", i, data[i]);
}

struct range {
	uint64_t sector;
	uint32_t count;
	bool unmap;
};

static struct rig_req add_ranges(uint32_t queue, uint32_t type, const struct range *ranges,
				 uint32_t count)
{
	struct virtio_blk_discard_write_zeroes raw[BLK_MAX_RANGES];
	struct rig_req req = rig_add(queue, type, 0, (uint32_t)(count * sizeof(raw[0])));

	for (uint32_t i = 0; i < count; i++)
		raw[i] = (struct virtio_blk_discard_write_zeroes){
			.sector = htole64(ranges[i].sector),
			.num_sectors = htole32(ranges[i].count),
			.flags = htole32(ranges[i].unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0),
		};
	rig_fill(&req, raw, (uint32_t)(count * sizeof(raw[0])));
	return req;
}

START_TEST(every_kind_of_request_does_what_it_says)
{
	const struct range zeroes[] = { { 16, 2, false }, { 19, 1, false } };
	struct rig_req id, changed;
	char serial[VIRTIO_BLK_ID_BYTES];

	start_ring_kind(_i);
	write_bytes(0, 16, 0x5a, 4096);
	check_bytes(1, 16, 0x5a, 4096);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_FLUSH, 0, 0), OK);

	changed = add_ranges(0, VIRTIO_BLK_T_WRITE_ZEROES, zeroes, 2);
	rig_go(0);
	ck_assert_int_eq(rig_finish(&changed), OK);
	check_bytes(1, 16, 0, 1024);
	check_bytes(1, 18, 0x5a, 512);
	check_bytes(1, 19, 0, 512);
	check_bytes(1, 20, 0x5a, 2048);

	changed = add_ranges(0, VIRTIO_BLK_T_DISCARD, zeroes, 1);
	rig_go(0);
	ck_assert_int_eq(rig_finish(&changed), OK);

	id = rig_add(1, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES);
	rig_go(1);
	ck_assert_int_eq(rig_finish(&id), OK);
	guest_read(rig.guests[1], id.data, serial, sizeof(serial));
	ck_assert_str_eq(serial, "disk0");
	rig_status(0);
}
END_TEST

static void expect_done(enum blk_op op, uint64_t count, uint64_t bytes)
{
	const struct req_stats *stats = &rig.device.queues.all[0].requests.stats;

	ck_assert_uint_eq(load_relaxed(&stats->done[op].count), count);
	ck_assert_uint_eq(load_relaxed(&stats->done[op].bytes), bytes);
}

/* What a request asks for counts, not the length of its chain; a failed request does not count. */
START_TEST(requests_and_bytes_are_counted_by_kind)
{
	const struct range ranges[] = { { 16, 2, false }, { 32, 1, false }, { 40, 0, false } };
	const uint32_t types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };

	start_ring_kind(0);
	write_bytes(0, 0, 1, 4096);
	write_bytes(0, 8, 1, 512);
	check_bytes(0, 0, 1, 1024);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_FLUSH, 0, 512), OK);
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		struct rig_req req = add_ranges(0, types[i], ranges, 3);

		rig_go(0);
		ck_assert_int_eq(rig_finish(&req), OK);
	}
	test_log_allow(LOG_LEVEL_WARNING, "invalid request, completed with");
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, SECTORS, 512), IOERR);
	rig_status(0);
	expect_done(BLK_WRITE, 2, 4096 + 512);
	expect_done(BLK_READ, 1, 1024);
	expect_done(BLK_FLUSH, 1, 0);
	expect_done(BLK_DISCARD, 1, 3 * 512);
	expect_done(BLK_WRITE_ZEROES, 1, 3 * 512);
}
END_TEST

START_TEST(bad_request_is_refused_and_the_next_one_served)
{
	start_ring_kind(_i);
	test_log_allow(LOG_LEVEL_WARNING, "invalid request, completed with");
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, SECTORS, 512), IOERR);
	ck_assert_uint_eq(rig.used_len, 0);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_OUT, SECTORS - 1, 1024), IOERR);
	ck_assert_int_eq(rig_do(0, 4711, 0, 512), VIRTIO_BLK_S_UNSUPP);
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 0), OK);
	check_bytes(0, SECTORS - 1, 0, 512);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.stats.errors, 3);
}
END_TEST

START_TEST(error_of_the_store_reaches_the_driver_and_the_log)
{
	struct rig_req req;

	start_ring_kind(0);
	manual_hold(rig.store, true);
	req = rig_add(0, VIRTIO_BLK_T_OUT, 8, 1024);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: queue 0: write of 1024 bytes at 4096: Input/");
	manual_finish(rig.store, 0, 1, -EIO);
	ck_assert_int_eq(rig_finish(&req), IOERR);
	ck_assert_uint_eq(rig.used_len, 0);
	manual_hold(rig.store, false);
	check_bytes(0, 8, 0, 1024);
}
END_TEST

START_TEST(requests_come_back_in_the_order_they_are_done)
{
	static const unsigned int order[] = { 2, 0, 2, 0, 0 }; /* of those left */
	static const int expected[] = { 2, 0, 4, 1, 3 };
	struct rig_req req[5];

	start_ring_kind(_i);
	manual_hold(rig.store, true);
	for (int i = 0; i < 5; i++)
		req[i] = rig_add(0, VIRTIO_BLK_T_IN, 8, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 5);
	for (int i = 0; i < 5; i++) {
		manual_finish(rig.store, order[i], 1, MANUAL_DO);
		ck_assert_int_eq(rig_finish(&req[expected[i]]), OK);
	}
}
END_TEST

/* Ranges go to the store one after the other, those without sectors not at all. */
START_TEST(ranges_are_done_one_by_one_until_one_fails)
{
	const struct range ranges[] = {
		{ 0, 8, true }, { 8, 0, true }, { 32, 8, false }, { 64, 8, true }, { 96, 8, true },
	};
	bool fails = _i;
	struct rig_req req;

	start_ring_kind(0);
	manual_hold(rig.store, true);
	req = add_ranges(0, VIRTIO_BLK_T_WRITE_ZEROES, ranges, ARRAY_SIZE(ranges));
	rig_go(0);
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (!ranges[i].count)
			continue;
		rig_wait(manual_held(rig.store) == 1);
		ck_assert_uint_eq(manual_look(rig.store, 0).offset, ranges[i].sector * 512);
		ck_assert_uint_eq(manual_look(rig.store, 0).len, ranges[i].count * 512);
		ck_assert_int_eq(manual_look(rig.store, 0).unmap, ranges[i].unmap);
		if (fails && i == 3) {
			test_log_expect(LOG_LEVEL_ERROR, "write zeroes of 4096 bytes at 32768");
			manual_finish(rig.store, 0, 1, -ENOSPC);
			break;
		}
		ck_assert(!rig_has_next(0));
		manual_finish(rig.store, 0, 1, 0);
	}
	ck_assert_int_eq(rig_finish(&req), fails ? IOERR : OK);
	ck_assert_uint_eq(manual_held(rig.store), 0);

	/* What is left of them is no business of the next requests with the same head. */
	for (unsigned int i = 0; i < 20; i++)
		rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 20);
	manual_finish(rig.store, 0, 20, 0);
	for (unsigned int i = 0; i < 20; i++)
		rig_next(0);
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), 0);
}
END_TEST

/* Also where the last request with that head was cancelled. */
START_TEST(first_range_may_be_without_sectors)
{
	const struct range ranges[] = { { 8, 0, false }, { 16, 8, false } };
	struct rig_req req;
	uint32_t id;

	start_ring_kind(2);
	manual_hold(rig.store, true);
	for (unsigned int i = 0; i < 20; i++)
		rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 20);
	id = rig_send_status(0);
	rig_wait(manual_cancelled(rig.store) == 20);
	test_log_allow(LOG_LEVEL_ERROR, "read of 512 bytes");
	manual_finish(rig.store, 0, 20, -ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	rig_status(0);
	rig_driver_start();
	manual_hold(rig.store, false);
	write_bytes(0, 8, 0x77, 8192);
	req = add_ranges(0, VIRTIO_BLK_T_WRITE_ZEROES, ranges, 2);
	rig_go(0);
	ck_assert_int_eq(rig_finish(&req), OK);
	check_bytes(0, 8, 0x77, 4096);
	check_bytes(0, 16, 0, 4096);
	rig_status(0);
}
END_TEST

#define BAD_REQUESTS 40

START_TEST(driver_cannot_flood_the_log_with_bad_requests)
{
	start_ring_kind(0);
	test_log_allow(LOG_LEVEL_WARNING, "invalid request, completed with");
	test_log_allow(LOG_LEVEL_WARNING, "more lines like this were suppressed");
	for (unsigned int i = 0; i < BAD_REQUESTS; i++)
		ck_assert_int_eq(rig_do(0, 4711, 0, 512), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_ge(test_log_count("invalid request, completed with"), 1);
	ck_assert_uint_lt(test_log_count("invalid request, completed with"), BAD_REQUESTS);
	rig_status(0);
	rig_close(); /* at the latest here the log says how many there were */
	ck_assert_uint_ge(test_log_count("more lines like this were suppressed"), 1);
}
END_TEST

START_TEST(as_many_ranges_as_there_may_be_are_all_done)
{
	struct range ranges[BLK_MAX_RANGES];
	struct rig_req req;

	start_ring_kind(2);
	write_bytes(0, 0, 0x77, 8192);
	for (uint32_t i = 0; i < BLK_MAX_RANGES; i++)
		ranges[i] = (struct range){ .sector = i % 16 == 15 ? 100 + i : i % 16, .count = 1 };
	req = add_ranges(0, VIRTIO_BLK_T_WRITE_ZEROES, ranges, BLK_MAX_RANGES);
	rig_go(0);
	ck_assert_int_eq(rig_finish(&req), OK);
	check_bytes(0, 0, 0, 15 * 512);
	check_bytes(0, 15, 0x77, 512);
}
END_TEST

/*
 * virtio 1.3, 5.2.6.2: without the FLUSH feature, completed means durable; and a cache that writes
 * through offers no flush.
 */
START_TEST(writes_are_durable_where_the_driver_cannot_flush)
{
	static const struct {
		enum cache_mode cache;
		bool takes_flush, durable;
	} cases[] = {
		{ CACHE_WRITEBACK, true, false },   { CACHE_WRITEBACK, false, true },
		{ CACHE_NONE, true, false },	    { CACHE_NONE, false, true },
		{ CACHE_WRITETHROUGH, true, true },
	};
	const struct range range = { 0, 8, false };

	rig.config.cache = cases[_i].cache;
	rig.refused = cases[_i].takes_flush ? 0 : 1ull << VIRTIO_BLK_F_FLUSH;
	start_ring_kind(0);
	manual_hold(rig.store, true);
	rig_add(0, VIRTIO_BLK_T_OUT, 0, 512);
	add_ranges(0, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 2);
	ck_assert_int_eq(manual_look(rig.store, 0).durable, cases[_i].durable);
	ck_assert_int_eq(manual_look(rig.store, 1).durable, cases[_i].durable);
}
END_TEST

/* Bytes of the disk as they have to be, changed by random requests on all queues. */
START_TEST(queues_of_two_workers_serve_one_disk)
{
	uint8_t expected[64];
	bool polls = _i / RING_KINDS;

	memset(expected, 0, sizeof(expected));
	rig.config.queues = 4;
	rig.worker_count = 2;
	rig.config.poll_us = polls ? 50 : 0;
	start_ring_kind(_i % RING_KINDS);
	for (int i = 0; i < 300; i++) {
		uint32_t queue = (uint32_t)random() % 4, block = (uint32_t)random() % 64;
		uint32_t other = (uint32_t)random() % 4;

		expected[block] = (uint8_t)random();
		write_bytes(queue, block * 8, expected[block], 4096);
		block = (uint32_t)random() % 64;
		check_bytes(other, block * 8, expected[block], 4096);
	}
	rig_status(0);
}
END_TEST

/* Its answer has no place; it is given back all the same. */
START_TEST(request_without_a_status_byte_is_given_back)
{
	const struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_FLUSH) };
	struct guest *g;
	int head;

	start_ring_kind(_i);
	test_log_allow(LOG_LEVEL_WARNING, "invalid request, completed with");
	g = rig.guests[0];
	head = guest_add(g, G_OUT(sizeof(header)));
	guest_write(g, g->chains[head].segs[0].addr, &header, sizeof(header));
	rig_go(0);
	ck_assert_int_eq(rig_next(0), head);
	ck_assert_uint_eq(rig.used_len, 0);
	check_bytes(0, 0, 0, 512);
	rig_status(0);
}
END_TEST

/* What a queue has under way is bounded; the rest stays in the ring, and its neighbour is served. */
START_TEST(hog_has_little_under_way)
{
	struct rig_req neighbour;

	rig_start();
	rig.device.queues.all[0].requests.bytes_max = 3 * 4096;
	rig_driver_start();
	manual_hold(rig.store, true);
	for (uint32_t i = 0; i < 8; i++)
		rig_add(0, i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 8 * i, 4096);
	rig_go(0);
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), 3);
	neighbour = rig_add(1, VIRTIO_BLK_T_IN, 0, 4096);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 4);
	manual_finish(rig.store, 3, 1, 0);
	ck_assert_int_eq(rig_finish(&neighbour), OK);
	/* Each that ends makes room for the next, without a kick. */
	for (uint32_t i = 0; i < 8; i++) {
		ck_assert_uint_eq(manual_held(rig.store), MIN(3, 8 - i));
		ck_assert_uint_eq(manual_look(rig.store, 0).offset, 4096 * i);
		if (i == 5)
			test_log_expect(LOG_LEVEL_ERROR, "not supported");
		manual_finish(rig.store, 0, 1, i == 5 ? -EOPNOTSUPP : 0);
		rig_next(0);
		rig_settle();
	}
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.bytes_in_flight, 0);
}
END_TEST

/* Requests that are given up, or put back, count no more. */
START_TEST(hog_can_be_paused_and_reset)
{
	uint32_t id;

	rig_start();
	rig.device.queues.all[0].requests.bytes_max = 2 * 4096;
	rig_driver_start();
	manual_hold(rig.store, true);
	for (uint32_t i = 0; i < 4; i++)
		rig_add(0, VIRTIO_BLK_T_IN, 8 * i, 4096);
	rig_go(0);
	rig_settle();
	id = _i ? rig_send_status(0) : rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 2);
	manual_finish(rig.store, 0, 2, -ECANCELED);
	ck_assert(rig_reply_is_ok(id));
	rig_settle();
	ck_assert_uint_eq(manual_held(rig.store), _i ? 0 : 2);
	if (_i) {
		ck_assert_uint_eq(rig.device.queues.all[0].requests.bytes_in_flight, 0);
		return;
	}
	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 2, 0);
	for (uint32_t i = 0; i < 4; i++)
		rig_next(0);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.bytes_in_flight, 0);
}
END_TEST

/* Flushes on heads whose last requests were reads: no bytes are given back twice. */
START_TEST(bytes_of_a_request_are_counted_once)
{
	start_ring_kind(2);
	manual_hold(rig.store, true);
	for (uint32_t i = 0; i < 40; i++)
		rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 40);
	manual_finish(rig.store, 0, 40, 0);
	for (uint32_t i = 0; i < 40; i++)
		rig_next(0);
	for (uint32_t i = 0; i < 40; i++)
		rig_add(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	manual_finish(rig.store, 0, 1, 0);
	for (uint32_t i = 0; i < 40; i++)
		rig_next(0);
	rig_status(0);
	ck_assert_uint_eq(rig.device.queues.all[0].requests.bytes_in_flight, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("request_path");
	TCase *tc = suite_case(suite, "requests", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, every_kind_of_request_does_what_it_says, 0, RING_KINDS);
	tcase_add_test(tc, requests_and_bytes_are_counted_by_kind);
	tcase_add_loop_test(tc, bad_request_is_refused_and_the_next_one_served, 0, RING_KINDS);
	tcase_add_test(tc, error_of_the_store_reaches_the_driver_and_the_log);
	tcase_add_loop_test(tc, requests_come_back_in_the_order_they_are_done, 0, RING_KINDS);
	tcase_add_loop_test(tc, ranges_are_done_one_by_one_until_one_fails, 0, 2);
	tcase_add_test(tc, first_range_may_be_without_sectors);
	tcase_add_test(tc, driver_cannot_flood_the_log_with_bad_requests);
	tcase_add_test(tc, as_many_ranges_as_there_may_be_are_all_done);
	tcase_add_loop_test(tc, writes_are_durable_where_the_driver_cannot_flush, 0, 5);
	tcase_add_test(tc, hog_has_little_under_way);
	tcase_add_loop_test(tc, hog_can_be_paused_and_reset, 0, 2);
	tcase_add_test(tc, bytes_of_a_request_are_counted_once);
	tcase_add_loop_test(tc, request_without_a_status_byte_is_given_back, 0, RING_KINDS);
	tcase_add_loop_test(tc, queues_of_two_workers_serve_one_disk, 0, 2 * RING_KINDS);
	return suite_run(suite);
}
