// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory of requests: vduse-blk/queue/request.c and worker.c. Pieces and ranges of small requests lie in
 * their slots, those of large ones in buffers that the queues of a worker share; data that must be
 * copied have a staging buffer.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK VIRTIO_BLK_S_OK

static void start(void)
{
	rig.indirect = true;
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
}

/* A write of zeroes to @count ranges of 4096 bytes, from @first of those on. */
static void add_ranges(uint32_t queue, uint32_t first, uint32_t count)
{
	struct virtio_blk_discard_write_zeroes raw[BLK_MAX_RANGES];
	struct rig_req req =
		rig_add(queue, VIRTIO_BLK_T_WRITE_ZEROES, 0, (uint32_t)(count * sizeof(raw[0])));

	for (uint32_t i = 0; i < count; i++)
		raw[i] = (struct virtio_blk_discard_write_zeroes){
			.sector = htole64(8 * (first + i)),
			.num_sectors = htole32(8),
		};
	rig_fill(&req, raw, (uint32_t)(count * sizeof(raw[0])));
}

/* Large requests and small ones, on heads side by side: nobody's pieces lie among another's. */
START_TEST(requests_of_all_sizes_have_pieces_of_their_own)
{
	const struct backend_io *io[8];

	start();
	for (uint32_t i = 0; i < ARRAY_SIZE(io); i++)
		if (i % 3 == 1)
			rig_add(0, VIRTIO_BLK_T_IN, i, 512);
		else
			rig_add_pieces(0, i);
	rig_go(0);
	rig_wait(manual_held(rig.store) == ARRAY_SIZE(io));
	for (unsigned int i = 0; i < ARRAY_SIZE(io); i++) {
		size_t bytes = 0;

		io[i] = manual_io(rig.store, i);
		ck_assert_uint_eq(io[i]->offset, i * 512);
		for (uint32_t j = 0; j < io[i]->iov_count; j++)
			bytes += io[i]->iov[j].iov_len;
		ck_assert_uint_eq(bytes, 512);
		for (unsigned int j = 0; j < i; j++)
			ck_assert(io[i]->iov + io[i]->iov_count <= io[j]->iov ||
				  io[j]->iov + io[j]->iov_count <= io[i]->iov);
	}
	manual_finish(rig.store, 0, ARRAY_SIZE(io), MANUAL_DO);
	for (uint32_t i = 0; i < ARRAY_SIZE(io); i++)
		rig_next(0);
}
END_TEST

/* A large request has its pieces elsewhere: those of its neighbours stay what they are. */
START_TEST(large_and_small_requests_lie_side_by_side)
{
	struct rig_req reqs[16];

	start();
	for (uint32_t i = 0; i < 16; i++)
		reqs[i] = i % 2 ? rig_add(0, VIRTIO_BLK_T_IN, i, 512) : rig_add_pieces(0, i);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 16);
	for (uint32_t i = 0; i < 16; i++) {
		const struct backend_io *io = manual_io(rig.store, i);
		uint64_t len = 0;

		ck_assert_uint_eq(io->offset, 512 * i);
		ck_assert_uint_eq(io->iov_count, i % 2 ? 1 : SLOT_IOVS + 1);
		for (uint32_t j = 0; j < io->iov_count; j++)
			len += io->iov[j].iov_len;
		ck_assert_uint_eq(len, 512);
	}
	manual_finish(rig.store, 0, 16, MANUAL_DO);
	for (uint32_t i = 0; i < 16; i++)
		ck_assert_int_eq(rig_finish(&reqs[i]), OK);
	rig_status(0);
}
END_TEST

/* Nor do the ranges of discards, which are used one after the other. */
START_TEST(many_ranges_and_small_requests_lie_side_by_side)
{
	enum { RANGES = SLOT_RANGES + 3 };

	start();
	for (uint32_t i = 0; i < 8; i++) {
		if (i % 2)
			rig_add(0, VIRTIO_BLK_T_OUT, i, 512);
		else
			add_ranges(0, i * RANGES, RANGES);
	}
	rig_go(0);
	rig_wait(manual_held(rig.store) == 8);
	for (uint32_t j = 0; j < RANGES; j++) {
		for (uint32_t i = 0; i < 8; i += 2) {
			struct backend_io io = manual_look(rig.store, j ? 4 + i / 2 : i);

			ck_assert_uint_eq(io.offset, 4096 * (i * RANGES + j));
			ck_assert_uint_eq(io.len, 4096);
		}
		/* The writes stay at the front of what is held. */
		for (uint32_t i = 0; i < 4; i++)
			manual_finish(rig.store, j ? 4 : i, 1, 0);
		rig_settle();
	}
	for (uint32_t i = 0; i < 4; i++) {
		const struct backend_io *io = manual_io(rig.store, i);

		ck_assert_uint_eq(io->offset, 512 * (2 * i + 1));
		ck_assert_uint_eq(io->iov_count, 1);
		ck_assert_uint_eq(io->iov->iov_len, 512);
	}
	manual_finish(rig.store, 0, 4, 0);
	for (uint32_t i = 0; i < 8; i++)
		rig_next(0);
	rig_status(0);
}
END_TEST

static void expect_no_common_pieces(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct backend_io *io = manual_io(rig.store, i);

		for (unsigned int j = 0; j < i; j++) {
			const struct backend_io *other = manual_io(rig.store, j);

			must(io->iov + io->iov_count <= other->iov ||
				     other->iov + other->iov_count <= io->iov,
			     "requests %u and %u share pieces", j, i);
		}
	}
}

/* A head that had a large request has a small one, and later a large one again. */
START_TEST(large_and_small_requests_follow_each_other_on_a_head)
{
	start();
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int count = round % 2 ? 8 : 4 * (round + 1);

		for (unsigned int i = 0; i < count; i++)
			if (round % 2)
				rig_add(0, VIRTIO_BLK_T_IN, i, 512);
			else
				rig_add_pieces(0, i);
		rig_go(0);
		rig_wait(manual_held(rig.store) == count);
		expect_no_common_pieces(count);
		manual_finish(rig.store, 0, count, MANUAL_DO);
		for (unsigned int i = 0; i < count; i++)
			rig_next(0);
	}
	rig_status(0);
}
END_TEST

/* Queue 0 takes all large buffers that are shared. */
static void hog(void)
{
	for (int i = 0; i < 256; i++)
		rig_add_pieces(0, 8);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 256);
}

static void start_hogging(void)
{
	rig.config.queues = 3;
	rig.config.queue_size = rig.num = 256;
	start();
	hog();
}

/* A queue that waits for a large buffer keeps no CPU busy. */
static void wait_until_worker_sleeps(void)
{
	rig_wait(load_relaxed(&rig.polling_shared.awake) == 0);
}

/* One queue has all that are shared; each other has one of its own, and waits behind that. */
START_TEST(queue_goes_on_while_another_has_all_large_buffers)
{
	struct rig_req large, small, behind;

	start_hogging();
	large = rig_add_pieces(1, 16);
	behind = rig_add(1, VIRTIO_BLK_T_IN, 32, 512);
	small = rig_add(2, VIRTIO_BLK_T_IN, 24, 512);
	rig_go(1);
	rig_go(2);
	rig_wait(manual_held(rig.store) == 258);
	wait_until_worker_sleeps();
	for (int i = 0; i < 2; i++) { /* it waits once, however often it is kicked */
		ck_assert(fake_kern_kick(rig.kern, 1));
		rig_settle();
	}
	ck_assert_uint_eq(manual_held(rig.store), 258);
	ck_assert_uint_eq(manual_look(rig.store, 256).offset + manual_look(rig.store, 257).offset,
			  (16 + 24) * 512);

	manual_finish(rig.store, 100, 1,
		      0); /* of the one that has so many: it helps all the same */
	rig_wait(manual_held(rig.store) == 258);
	ck_assert_uint_eq(manual_look(rig.store, 257).offset, 32 * 512);
	manual_finish(rig.store, 0, 258, 0);
	ck_assert_int_eq(rig_finish(&large), OK);
	ck_assert_int_eq(rig_finish(&behind), OK);
	ck_assert_int_eq(rig_finish(&small), OK);
	for (int i = 0; i < 256; i++)
		rig_next(0);
	rig_status(0);
}
END_TEST

/* Those that need no large buffer do not wait for one another either. */
START_TEST(small_requests_go_on_while_others_have_all_large_buffers)
{
	start_hogging();
	for (uint32_t i = 0; i < 2; i++) {
		rig_add(2, VIRTIO_BLK_T_IN, 24, 512);
		rig_add_in_pieces(2, 32, SLOT_IOVS);
		add_ranges(2, 0, SLOT_RANGES);
	}
	rig_go(2);
	rig_wait(manual_held(rig.store) == 256 + 6);
	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 256 + 6, 0);
	for (int i = 0; i < 256; i++)
		rig_next(0);
	for (int i = 0; i < 6; i++)
		rig_next(2);
	rig_status(0);
}
END_TEST

/* It goes back to its queue, and to no other one. */
START_TEST(queue_has_its_own_large_buffer_again)
{
	start_hogging();
	rig_add_pieces(1, 16);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 257);
	manual_finish(rig.store, 0, 257, 0);
	for (int i = 0; i < 256; i++)
		rig_next(0);
	rig_next(1);

	hog();
	for (uint32_t queue = 2; queue > 0; queue--) {
		rig_add_pieces(queue, 16);
		rig_go(queue);
		rig_wait(manual_held(rig.store) == 259 - queue);
	}
	manual_finish(rig.store, 0, 258, 0);
	for (int i = 0; i < 256; i++)
		rig_next(0);
	rig_next(1);
	rig_next(2);
	rig_status(0);
}
END_TEST

START_TEST(queue_that_lacks_a_large_buffer_can_be_reset)
{
	uint32_t id;

	start_hogging();
	rig_add_pieces(1, 16);
	rig_add_pieces(1, 16);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 257);
	rig_settle();
	id = rig_send_status(0);
	rig_settle();
	ck_assert(!rig_has_reply(id));
	manual_finish(rig.store, 0, 257, 0);
	ck_assert(rig_reply_is_ok(id));
	rig_check_stopped();
	ck_assert_uint_eq(manual_held(rig.store), 0); /* what waited is the driver's again */
	rig_next(1);
	ck_assert(!rig_has_next(1));
}
END_TEST

static void *staging_of_held(unsigned int index)
{
	struct backend_io *io = manual_io(rig.store, index);

	return io->get_staging(io);
}

static unsigned long pages_of_process(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages;
}

/* Whatever the driver: a machine's memory may lie where O_DIRECT cannot take it. */
START_TEST(requests_have_a_staging_buffer_each)
{
	struct rig_req reqs[8];
	uint8_t *staging[8];

	rig.config.driver = _i ? DRIVER_VHOST_VDPA : DRIVER_VIRTIO_VDPA;
	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	for (uint32_t i = 0; i < 8; i++)
		reqs[i] = rig_add(i % 2, i < 4 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 8 * i, 4096);
	rig_go(0);
	rig_go(1);
	rig_wait(manual_held(rig.store) == 8);
	for (uint32_t i = 0; i < 8; i++) {
		struct backend_io *io = manual_io(rig.store, i);

		staging[i] = io->get_staging(io);
		ck_assert_ptr_nonnull(staging[i]);
		ck_assert_ptr_eq(io->get_staging(io), staging[i]);
		memset(staging[i], (int)i, BACKEND_STAGING_SIZE);
	}
	for (uint32_t i = 0; i < 8; i++)
		must(staging[i][0] == i && staging[i][BACKEND_STAGING_SIZE - 1] == i, "buffer %u",
		     i);
	manual_finish(rig.store, 0, 8, 0);
	for (uint32_t i = 0; i < 8; i++)
		ck_assert_int_eq(rig_finish(&reqs[i]), OK);
	/* They are used again, and not one for each head. */
	for (uint32_t i = 0; i < 100; i++) {
		struct backend_io *io;
		bool known = false;
		void *buffer;

		reqs[0] = rig_add(0, VIRTIO_BLK_T_IN, 0, 4096);
		rig_go(0);
		rig_wait(manual_held(rig.store) == 1);
		io = manual_io(rig.store, 0);
		buffer = io->get_staging(io);
		for (uint32_t j = 0; j < 8; j++)
			known = known || buffer == staging[j];
		ck_assert(known);
		manual_finish(rig.store, 0, 1, 0);
		ck_assert_int_eq(rig_finish(&reqs[0]), OK);
	}
	rig_status(0);
}
END_TEST

/* Some requests need one, others do not; on the same heads. */
START_TEST(staging_buffers_are_given_back_and_used_again)
{
	unsigned long pages;
	void *staging[12];

	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	for (uint32_t round = 0; round < 24; round++) {
		uint32_t count = round % 12 + 1;

		for (uint32_t i = 0; i < count; i++)
			rig_add(0, VIRTIO_BLK_T_IN, 8 * i, 4096);
		rig_go(0);
		rig_wait(manual_held(rig.store) == count);
		for (uint32_t i = round % 2; i < count; i++) {
			staging[i] = staging_of_held(i);
			for (uint32_t j = round % 2; j < i; j++)
				must(staging[i] != staging[j], "round %u: %u and %u share a buffer",
				     round, i, j);
		}
		manual_finish(rig.store, 0, count, 0);
		for (uint32_t i = 0; i < count; i++)
			rig_next(0);
		if (round == 12)
			pages = pages_of_process();
	}
	/* Far less than all staging buffers of one ring. */
	ck_assert_uint_lt(pages_of_process(), pages + 64 * BACKEND_STAGING_SIZE / 4096 / 2);
	rig_status(0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need memory as well */

/* With memory for a part of them only, a queue has neither slots nor a large buffer. */
START_TEST(queue_gets_all_its_memory_or_none)
{
	struct queue_disk disk = { .name = "disk0", .pin_guest_memory = _i };
	unsigned long base = pages_of_process(), room = 0;
	struct worker worker = { 0 };
	struct requests requests;
	struct virtq vq = { 0 };
	struct rlimit before, now;
	int err;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	now = before;
	do {
		requests = (struct requests){
			.disk = &disk, .worker = &worker, .vq = &vq, .slot_count = 1024
		};
		now.rlim_cur = (base + room++) * 4096;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &now), 0);
		err = requests_init(&requests);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		if (err)
			ck_assert_uint_eq(pages_of_process(), base);
	} while (err == -ENOMEM);
	ck_assert_int_eq(err, 0);
	ck_assert_ptr_nonnull(requests.slots);
	ck_assert_ptr_nonnull(requests.iov_share.own);
	ck_assert_int_eq(requests.guest_memory != NULL, _i);
	requests_exit(&requests);
	ck_assert_uint_eq(pages_of_process(), base);
}
END_TEST

/* Servers run for months, and their disks come and go. */
START_TEST(disk_that_is_detached_leaves_no_memory)
{
	unsigned long pages = 0;

	rig.config.queue_size = 1024;
	for (unsigned int i = 0; i < 10; i++) {
		if (i == 4)
			pages = pages_of_process();
		rig_start();
		rig_driver_start();
		manual_hold(rig.store, true);
		rig_add(0, VIRTIO_BLK_T_IN, 0, 4096);
		rig_go(0);
		rig_wait(manual_held(rig.store) == 1);
		ck_assert_ptr_nonnull(staging_of_held(0));
		manual_finish(rig.store, 0, 1, 0);
		rig_next(0);
		rig_stop();
	}
	ck_assert_uint_lt(pages_of_process(), pages + 16);
}
END_TEST

START_TEST(request_has_no_staging_buffer_where_there_is_no_memory)
{
	struct rlimit limit, none;
	struct rig_req reqs[2];
	void *staging[2];

	rig_start();
	rig_driver_start();
	manual_hold(rig.store, true);
	for (unsigned int i = 0; i < 2; i++)
		reqs[i] = rig_add(0, VIRTIO_BLK_T_IN, 0, 4096);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 2);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	for (unsigned int i = 0; i < 2; i++)
		staging[i] = staging_of_held(i);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_ptr_null(staging[i]);
		ck_assert_ptr_nonnull(staging_of_held(i)); /* it comes as soon as there is some */
	}
	manual_finish(rig.store, 0, 2, 0);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(rig_finish(&reqs[i]), OK);
	rig_status(0);
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("request_memory");
	TCase *tc = suite_case(suite, "memory", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, requests_of_all_sizes_have_pieces_of_their_own);
	tcase_add_test(tc, large_and_small_requests_lie_side_by_side);
	tcase_add_test(tc, many_ranges_and_small_requests_lie_side_by_side);
	tcase_add_test(tc, large_and_small_requests_follow_each_other_on_a_head);
	tcase_add_test(tc, queue_goes_on_while_another_has_all_large_buffers);
	tcase_add_test(tc, small_requests_go_on_while_others_have_all_large_buffers);
	tcase_add_test(tc, queue_has_its_own_large_buffer_again);
	tcase_add_test(tc, queue_that_lacks_a_large_buffer_can_be_reset);
	tcase_add_loop_test(tc, requests_have_a_staging_buffer_each, 0, 2);
	tcase_add_test(tc, staging_buffers_are_given_back_and_used_again);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_loop_test(tc, queue_gets_all_its_memory_or_none, 0, 2);
	tcase_add_test(tc, disk_that_is_detached_leaves_no_memory);
	tcase_add_test(tc, request_has_no_staging_buffer_where_there_is_no_memory);
#endif
	return suite_run(suite);
}
