// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/frontend/vhost_user_inflight.c: front ends that leave, servers that die, and requests that
 * were in flight then.
 */
#include <check.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK	VIRTIO_BLK_S_OK
#define IOERR	VIRTIO_BLK_S_IOERR
#define IN	VIRTIO_BLK_T_IN
#define OUT	VIRTIO_BLK_T_OUT
#define FLUSH	VIRTIO_BLK_T_FLUSH
#define NOT_SET 0xee /* what the driver puts into the status byte */

static uint8_t status_of(const struct vug_slot *slot)
{
	return *(uint8_t *)vug_ptr(&vuf.memory, slot->addr + 0x205);
}

/* ---- the message ---- */

/* The front end names a size of its rings; the log has room for all that a guest may set up. */
static int ask_inflight(uint16_t queues, uint16_t size, uint64_t offset)
{
	struct vuc_inflight inflight = { .num_queues = queues,
					 .queue_size = size,
					 .mmap_offset = offset };
	int fd, err = vuc_get_inflight(&vuf.c, &inflight, &fd);

	if (err)
		return err;
	ck_assert_uint_eq(inflight.num_queues, queues);
	ck_assert_uint_eq(inflight.queue_size, size);
	ck_assert_uint_eq(inflight.mmap_offset, 0);
	ck_assert_uint_ge(inflight.mmap_size, queues * VIRTQ_MAX_SIZE * sizeof(uint64_t));
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), inflight.mmap_size);
	ck_assert_int_eq(vuc_set_inflight(&vuf.c, &inflight, fd), 0);
	close(fd);
	return 0;
}

static const uint16_t wrong_numbers[] = { 0, VUF_QUEUES + 1, UINT16_MAX };

START_TEST(log_is_for_the_queues_of_the_disk)
{
	vuf_serve();
	vuf_connect();
	for (uint16_t queues = 1; queues <= 2; queues++) {
		ck_assert_int_eq(ask_inflight(queues, 0, 0), 0);
		ck_assert_int_eq(ask_inflight(queues, 64, 12345), 0);
		ck_assert_int_eq(ask_inflight(queues, UINT16_MAX, 0), 0);
	}
	vuf_allow_refusals();
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong_numbers); i++) {
		ck_assert_int_eq(ask_inflight(wrong_numbers[i], 64, 0), -ECONNRESET);
		vuc_close(&vuf.c);
		vuf_connect();
	}
}
END_TEST

static int pass(struct vuc_inflight inflight, int fd)
{
	return vuc_set_inflight(&vuf.c, &inflight, fd);
}

START_TEST(log_that_is_passed_is_checked)
{
	struct vuc_inflight changed;
	int other = memfd_create("other", MFD_CLOEXEC);

	vuf_serve();
	vuf_connect();
	vuf_take_inflight();
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong_numbers); i++) {
		changed = vuf.inflight;
		changed.num_queues = wrong_numbers[i];
		vuf_expect_refusal(pass(changed, vuf.inflight_fd), "more queues than the disk");
	}
	changed = vuf.inflight;
	changed.mmap_offset = 4096;
	vuf_expect_refusal(pass(changed, vuf.inflight_fd), "no inflight log of vduse-blk");
	changed = vuf.inflight;
	changed.num_queues = 1;
	vuf_expect_refusal(pass(changed, vuf.inflight_fd), "another number or size of queues");
	vuf_expect_refusal(pass(vuf.inflight, other), "it was not made by vduse-blk");
	vuf_pass_inflight();
	close(other);
}
END_TEST

START_TEST(log_of_another_disk)
{
	char *path = temp_path("image-other-%d", getpid());

	temp_image(path, VUF_DISK_SIZE);
	vuf_up();
	vuf_crash();
	vuf.config.path = path;
	vuf_serve();
	vuf_connect();
	vuf_expect_refusal(pass(vuf.inflight, vuf.inflight_fd), "the disk was \"");
	close(vuf.inflight_fd);
	vuf.inflight_fd = -1;
	vug_queue_reset(&vuf.queues[0]);
	vuf_start(); /* with a new one it is served */
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_stop();
	unlink(path);
}
END_TEST

/* The log has fewer queues than the disk: no other memory is read or written. */
START_TEST(log_of_one_queue)
{
	vuf_serve();
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	vuf.inflight = (struct vuc_inflight){ .num_queues = 1, .queue_size = 64 };
	ck_assert_int_eq(vuc_get_inflight(&vuf.c, &vuf.inflight, &vuf.inflight_fd), 0);
	vuf_pass_inflight();
	ck_assert_int_eq(vug_send_start(&vuf.queues[0], &vuf.c), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_RESET_DEVICE), 0);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_RESET_OWNER), 0);
	vuf_disconnect();
	vuf_connect();
	vuf_pass_inflight();
}
END_TEST

/* ---- a front end that leaves ---- */

static struct vug_slot *slots[4];

/* Requests in flight in both queues; some before them are completed. */
static void hold_requests(void)
{
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_int_eq(vuf_do(i % 2, OUT, 100 + i, 512, 1), OK);
	slots[0] = vuf_hold(0, OUT, 0, 512, 10);
	slots[1] = vuf_hold(1, OUT, 8, 4096, 11);
	slots[2] = vuf_hold(0, OUT, 16, 512, 12);
	slots[3] = vuf_hold(1, IN, 100, 512, 0);
}

/* They are completed, once each. */
static void finish_requests(void)
{
	struct vug_slot *done;

	for (unsigned int i = 0; i < 4; i++) {
		done = vuf_finish_any(i % 2);
		ck_assert_int_eq(done->status, OK);
	}
	vuf_settle();
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(vuf.queues[i].busy, 0);
		ck_assert_uint_eq(vug_used_idx(&vuf.queues[i]), vuf.queues[i].last_used);
	}
	vuf_check_data(slots[3], 1);
	for (uint8_t i = 0; i < 3; i++) {
		struct vug_slot *slot = vuf_offer(0, IN, i * 8, 512, 0);

		ck_assert_int_eq(vuf_finish(0, slot), OK);
		vuf_check_data(slot, 10 + i);
	}
}

static void expect_untouched(void)
{
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(status_of(slots[i]), NOT_SET);
	ck_assert_uint_eq(vug_used_idx(&vuf.queues[0]), 3);
	ck_assert_uint_eq(vug_used_idx(&vuf.queues[1]), 2);
}

/* The front end connects again, with its memory, its rings and its log. */
static void resume(void)
{
	vuf_set_hold(false);
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats 2 requests that were in flight"), 2);
}

START_TEST(front_end_leaves_and_comes_back)
{
	vuf.indirect = _i & 1;
	vuf.event_idx = _i & 2;
	vuf_up();
	hold_requests();
	vuc_close(&vuf.c);
	vuf_wait(vuf_cancelled() == 4);
	vuf_end_held(-ECANCELED);
	vuf_disconnect();
	expect_untouched();
	resume();
	finish_requests();
}
END_TEST

/* I/O that has begun cannot be cancelled: it is completed, and not repeated. */
START_TEST(requests_end_after_the_front_end_has_left)
{
	vuf_up();
	hold_requests();
	vuc_close(&vuf.c);
	vuf_wait(vuf_cancelled() == 4);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	vuf_disconnect();
	ck_assert_uint_eq(vug_used_idx(&vuf.queues[0]), 5);
	ck_assert_uint_eq(vug_used_idx(&vuf.queues[1]), 4);
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats"), 0);
	finish_requests();
}
END_TEST

START_TEST(server_dies)
{
	vuf.indirect = _i & 1;
	vuf.event_idx = _i & 2;
	vuf_up();
	hold_requests();
	vuf_crash();
	expect_untouched();
	vuf_serve();
	resume();
	finish_requests();
}
END_TEST

/* The front end stops the rings in order: the log is not used, but the base. */
START_TEST(front_end_stops_and_leaves)
{
	uint32_t base;

	vuf_up();
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(vuc_get_vring_base(&vuf.c, i, &base), 0);
	vuf_disconnect();
	slots[0] = vuf_offer(0, OUT, 0, 512, 7);
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats"), 0);
	ck_assert_int_eq(vuf_finish(0, slots[0]), OK);
	ck_assert_int_eq(vuc_get_vring_base(&vuf.c, 0, &base), 0);
	ck_assert_uint_eq(base, 4);
}
END_TEST

/* Without the log nothing is known of them: the front end decides by the base. */
START_TEST(front_end_comes_back_without_its_log)
{
	vuf_up();
	hold_requests();
	vuc_close(&vuf.c);
	vuf_wait(vuf_cancelled() == 4);
	vuf_end_held(-ECANCELED);
	vuf_disconnect();
	close(vuf.inflight_fd);
	vuf.inflight_fd = -1;
	vuf_set_hold(false);
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats"), 0);
	finish_requests();
}
END_TEST

/* A front end without the protocol feature: the server's own log is not the front end's. */
START_TEST(front_end_without_a_log)
{
	vuf_serve();
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	vuf_start_rings();
	hold_requests();
	vuc_close(&vuf.c);
	vuf_wait(vuf_cancelled() == 4);
	vuf_end_held(-ECANCELED);
	vuf_disconnect();
	vuf_set_hold(false);
	vuf_connect();
	vuf_start();
	finish_requests();
}
END_TEST

/* The front end writes into the log while the server is away. */
START_TEST(log_is_damaged)
{
	uint8_t *at;

	vuf_up();
	hold_requests();
	vuf_crash();
	at = mmap(NULL, vuf.inflight.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, vuf.inflight_fd,
		  0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	/* Behind the header: entries of all queues, or used_idx and ahead of the first one. */
	if (_i)
		memset(at + 448, 0x5b, vuf.inflight.mmap_size - 448);
	else
		memset(at + 320 + 12, 0xa5, 2);
	munmap(at, vuf.inflight.mmap_size);
	test_log_allow(LOG_LEVEL_ERROR, "stopped until driver reset");
	test_log_allow(LOG_LEVEL_ERROR, "invalid request");
	test_log_allow(LOG_LEVEL_WARNING, "invalid request");
	test_log_allow(LOG_LEVEL_WARNING, "more lines like this");
	vuf_serve();
	vuf_set_hold(false);
	vuf_connect();
	vuf_start();
	vuf_settle();
	vuf_stop();
}
END_TEST

/* ---- writes that were lost ---- */

static void lose_writes(void)
{
	struct vug_slot *slot = vuf_hold(0, FLUSH, 0, 0, 0);

	test_log_allow(LOG_LEVEL_ERROR, "flush");
	test_log_allow(LOG_LEVEL_ERROR, "writes may be lost");
	test_log_allow(LOG_LEVEL_WARNING, "flush");
	vuf_set_hold(false);
	vuf_end_held(-EIO);
	ck_assert_int_eq(vuf_finish(0, slot), IOERR);
	ck_assert_int_eq(vuf_do(0, FLUSH, 0, 0, 0), IOERR);
}

static void forget_log(void)
{
	close(vuf.inflight_fd);
	vuf.inflight_fd = -1;
	for (uint32_t i = 0; i < 2; i++)
		vug_queue_reset(&vuf.queues[i]);
}

/* clang-format off */
static const struct {
	enum cache_mode cache;
	bool crash;	/* the server dies; else the front end leaves */
	bool new_log;	/* before that, the front end asks for a new log */
	bool without;	/* it comes back without its log */
	bool reset;	/* before that, the device is reset */
	uint8_t status; /* of a flush in the end */
} losses[] = {
	{ CACHE_NONE, false, false, false, false, IOERR },
	{ CACHE_NONE, false, false, true, false, OK },
	{ CACHE_NONE, true, false, false, false, IOERR },
	{ CACHE_NONE, true, true, false, false, IOERR },
	{ CACHE_NONE, true, false, true, false, OK },
	{ CACHE_NONE, true, false, false, true, OK },
	{ CACHE_NONE, false, false, false, true, OK },
	{ CACHE_WRITEBACK, false, false, false, false, IOERR },
	{ CACHE_WRITEBACK, false, false, true, false, IOERR },
	{ CACHE_WRITEBACK, false, false, false, true, IOERR },
	{ CACHE_WRITEBACK, true, false, false, false, IOERR },
	{ CACHE_WRITEBACK, true, true, false, false, IOERR },
	{ CACHE_WRITEBACK, true, false, false, true, IOERR },
};
/* clang-format on */

static void ask_for_new_log(void)
{
	uint32_t base;

	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(vuc_get_vring_base(&vuf.c, i, &base), 0);
	vuf_take_inflight();
	vuf_start_rings();
	ck_assert_int_eq(vuf_do(0, FLUSH, 0, 0, 0), IOERR);
}

START_TEST(lost_writes_are_remembered)
{
	vuf.config.cache = losses[_i].cache;
	vuf_up();
	lose_writes();
	if (losses[_i].new_log)
		ask_for_new_log();
	if (losses[_i].reset) {
		ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_RESET_DEVICE), 0);
		for (uint32_t i = 0; i < 2; i++)
			vug_queue_reset(&vuf.queues[i]);
		vuf_start();
	}
	if (losses[_i].crash) {
		vuf_crash();
		vuf_serve();
	} else {
		vuf_disconnect();
	}
	if (losses[_i].without)
		forget_log();
	vuf_connect();
	vuf_start();
	ck_assert_int_eq(vuf_do(0, FLUSH, 0, 0, 0), losses[_i].status);
	ck_assert_int_eq(vuf_do(1, OUT, 0, 4096, 1), OK);
}
END_TEST

/* ---- the write cache ---- */

static uint8_t get_wce(void)
{
	uint8_t wce;

	ck_assert_int_eq(
		vuc_get_config(&vuf.c, offsetof(struct virtio_blk_config, wce), 1, 0, &wce), 0);
	return wce;
}

static void come_back(bool crash)
{
	if (crash) {
		vuf_crash();
		vuf_serve();
	} else {
		vuf_disconnect();
	}
	vuf_connect();
	ck_assert_uint_eq(get_wce(), 1);
	vuf_start();
}

/* The guest switches it off once; the front end says nothing about it when it connects again. */
START_TEST(write_cache_stays_off)
{
	struct vug_slot *slot;

	vuf_up();
	ck_assert_int_eq(vuc_set_config(&vuf.c, offsetof(struct virtio_blk_config, wce), "", 1), 0);
	come_back(_i);
	ck_assert_uint_eq(get_wce(), 0);
	slot = vuf_hold(0, OUT, 0, 512, 1);
	ck_assert(vuf_look(0).durable);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	ck_assert_int_eq(vuf_finish(0, slot), OK);
	vuf_take_inflight(); /* a new log says so too */
	come_back(_i);
	ck_assert_uint_eq(get_wce(), 0);

	/* until a reset */
	ck_assert_int_eq(vuc_set_empty(&vuf.c, _i ? VUC_RESET_DEVICE : VUC_RESET_OWNER), 0);
	ck_assert_uint_eq(get_wce(), 1);
	for (uint32_t i = 0; i < 2; i++)
		vug_queue_reset(&vuf.queues[i]);
	come_back(_i);
	ck_assert_uint_eq(get_wce(), 1);
}
END_TEST

/* A front end without its log is another one. */
START_TEST(write_cache_of_the_next_front_end)
{
	vuf_up();
	ck_assert_int_eq(vuc_set_config(&vuf.c, offsetof(struct virtio_blk_config, wce), "", 1), 0);
	vuf_disconnect();
	forget_log();
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(get_wce(), 1);
}
END_TEST

/* ---- no descriptor is left for a new log ---- */

static bool memfd_fails;

int memfd_create(const char *name, unsigned int flags)
{
	if (!load_relaxed(&memfd_fails))
		return (int)syscall(SYS_memfd_create, name, flags);
	errno = EMFILE;
	return -1;
}

/* The heads in it are those of another guest, which can also still write to it. */
START_TEST(log_of_a_former_front_end_is_not_used)
{
	vuf_up();
	ck_assert_uint_eq(vuf_do(0, OUT, 0, 4096, 1), OK);
	test_log_allow(LOG_LEVEL_ERROR, "cannot create an inflight log: Too many open files");
	store_relaxed(&memfd_fails, true);
	vuf_disconnect();
	forget_log();
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		vug_queue_reset(&vuf.queues[i]);
	store_relaxed(&memfd_fails, false);
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	vuf_start_rings();
	ck_assert_uint_eq(vuf_do(0, IN, 0, 4096, 0), OK);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_inflight");
	TCase *tc = suite_case(s, "vhost_user_inflight", vuf_setup, vuf_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, log_is_for_the_queues_of_the_disk);
	tcase_add_test(tc, log_that_is_passed_is_checked);
	tcase_add_test(tc, log_of_another_disk);
	tcase_add_test(tc, log_of_one_queue);
	tcase_add_loop_test(tc, front_end_leaves_and_comes_back, 0, 4);
	tcase_add_test(tc, requests_end_after_the_front_end_has_left);
	tcase_add_loop_test(tc, server_dies, 0, 4);
	tcase_add_test(tc, front_end_stops_and_leaves);
	tcase_add_test(tc, front_end_comes_back_without_its_log);
	tcase_add_test(tc, front_end_without_a_log);
	tcase_add_loop_test(tc, log_is_damaged, 0, 2);
	tcase_add_loop_test(tc, lost_writes_are_remembered, 0, ARRAY_SIZE(losses));
	tcase_add_loop_test(tc, write_cache_stays_off, 0, 2);
	tcase_add_test(tc, write_cache_of_the_next_front_end);
	tcase_add_test(tc, log_of_a_former_front_end_is_not_used);
	return suite_run(s);
}
