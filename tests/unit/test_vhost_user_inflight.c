// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/frontend/vhost_user_inflight.c: front ends that leave, servers that die, and requests that
 * were in flight then.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
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
	slots[2] = vuf_hold(0, OUT, 16, 512, 12);
	slots[1] = vuf_hold(1, OUT, 8, 4096, 11);
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

/* ---- requests that stay in flight when a ring is stopped: GET_VRING_BASE_INFLIGHT ---- */

static void serve_with_suspension(void)
{
	vuf.protocol |= 1ull << VUC_P_GET_VRING_BASE_INFLIGHT;
	vuf_up();
}

static void ask(uint32_t request, uint32_t queue)
{
	const uint32_t state[2] = { queue, 0 };

	ck_assert_int_eq(vuc_send(&vuf.c, request,
				  &(struct vuc_send){ .payload = state, .size = sizeof(state) }),
			 0);
}

static void expect_base(uint32_t queue, uint32_t base)
{
	struct vuc_message reply;

	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, VUC_GET_VRING_BASE);
	ck_assert_uint_eq(reply.header.size, 8);
	ck_assert_uint_eq(reply.state.index, queue);
	ck_assert_uint_eq(reply.state.num, base);
}

/* The rings stop one after the other, as QEMU tells them to. What the store has not begun is cancelled. */
static void suspend_rings(bool disable_first)
{
	if (disable_first) {
		ask(VUC_SET_VRING_ENABLE, 0);
		ask(VUC_SET_VRING_ENABLE, 1);
	}
	ask(VUC_GET_VRING_BASE, 0);
	ask(VUC_GET_VRING_BASE, 1);
	vuf_wait(vuf_cancelled() == 2);
	vuf_settle();
	expect_untouched(); /* nor has queue 1 been stopped: its requests go on */
	vuf_end_first(2, -ECANCELED);
	vuf_wait(vuf_cancelled() == 4);
	vuf_end_held(-ECANCELED);
	expect_base(0, 5);
	expect_base(1, 4);
	expect_untouched();
}

/* As QEMU does it: the target's inflight log is a memfd of its own with the bytes of the source's. */
static void move_log(void)
{
	int fd = memfd_create("vhost-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t size = vuf.inflight.mmap_size;
	void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, vuf.inflight_fd, 0);

	ck_assert_ptr_ne(bytes, MAP_FAILED);
	ck_assert_int_eq(write(fd, bytes, size), size);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
	munmap(bytes, size);
	close(vuf.inflight_fd);
	vuf.inflight_fd = fd;
}

/* The same bytes, whose file and device have other numbers there. */
static void move_image(void)
{
	char *there = temp_path("image-there-%d", getpid()), bytes[4096];
	int from = open(vuf.config.path, O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	temp_image(there, VUF_DISK_SIZE);
	to = open(there, O_WRONLY | O_CLOEXEC);
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		ck_assert_int_eq(write(to, bytes, (size_t)n), n);
	close(from);
	close(to);
	vuf.config.path = there;
}

enum { SAME_CONNECTION, SAME_SERVER, OTHER_SERVER, OTHER_HOST };

START_TEST(base_with_requests_in_flight)
{
	serve_with_suspension();
	hold_requests();
	suspend_rings(_i / 4);
	vuf_set_hold(false);
	if (_i % 4 == SAME_CONNECTION) {
		vuf_pass_inflight();
		vuf_start_rings();
	} else {
		vuf_disconnect();
		expect_untouched();
		if (_i % 4 >= OTHER_SERVER)
			vuf_stop();
		if (_i % 4 == OTHER_HOST) {
			move_log();
			move_image();
		}
		if (_i % 4 >= OTHER_SERVER)
			vuf_serve();
		vuf_connect();
		vuf_start();
	}
	ck_assert_uint_ge(test_log_count("repeats 2 requests that were in flight"), 2);
	finish_requests();
	ck_assert_uint_eq(vuf_in_flight(), 0);
}
END_TEST

/* The target of the migration is killed, too: its successor knows the log by the serial number. */
START_TEST(server_dies_after_the_migration)
{
	serve_with_suspension();
	hold_requests();
	suspend_rings(true);
	vuf_disconnect();
	vuf_stop();
	move_log();
	move_image();
	vuf_serve();
	vuf_connect();
	vuf_start();
	vuf_set_hold(false);
	finish_requests();
	slots[0] = vuf_hold(0, OUT, 0, 512, 1);
	vuf_crash();
	vuf_set_hold(false);
	vuf_serve();
	vuf_connect();
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats 1 requests that were in flight"), 1);
	ck_assert_int_eq(vuf_finish(0, slots[0]), OK);
}
END_TEST

START_TEST(log_of_a_disk_with_another_serial_number)
{
	serve_with_suspension();
	hold_requests();
	suspend_rings(false);
	vuf_disconnect();
	vuf_stop();
	strcpy(vuf.config.serial, "other");
	vuf_serve();
	vuf_connect();
	vuf_expect_refusal(pass(vuf.inflight, vuf.inflight_fd), "serial other\"");
}
END_TEST

/* The reply waits for I/O that has begun: it could write to the store, and to the guest's memory, later. */
START_TEST(base_waits_for_io_that_has_begun)
{
	uint32_t base;

	serve_with_suspension();
	hold_requests();
	ask(VUC_GET_VRING_BASE, 0);
	vuf_wait(vuf_cancelled() == 2);
	vuf_settle();
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = vuf.c.fd, .events = POLLIN }, 1, 0), 0);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	expect_base(0, 5);
	ck_assert_uint_eq(vug_used_idx(&vuf.queues[0]), 5);
	vuf_wait(vug_used_idx(&vuf.queues[1]) == 4);
	ck_assert_int_eq(vuc_get_vring_base(&vuf.c, 1, &base), 0);
	vuf_start_rings();
	ck_assert_uint_eq(test_log_count("repeats"), 0);
	finish_requests();
}
END_TEST

/* The store fails, and requests wait for a retry, which may last for hours. */
START_TEST(base_does_not_wait_for_a_retry)
{
	uint32_t base;

	vuf.config.on_error = 3600;
	test_log_allow(LOG_LEVEL_ERROR, "tried again for up to 3600 s");
	test_log_allow(LOG_LEVEL_WARNING, "more errors of the store");
	test_log_allow(LOG_LEVEL_ERROR, "more errors of the store");
	serve_with_suspension();
	hold_requests();
	vuf_end_held(-EIO);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_int_eq(vuc_get_vring_base(&vuf.c, i, &base), 0);
		ck_assert_uint_eq(base, 5 - i);
	}
	expect_untouched();
	vuf_set_hold(false);
	vuf_start_rings();
	finish_requests();
}
END_TEST

/* Without a log that the front end keeps, nobody would serve them again. */
START_TEST(base_without_a_log_of_the_front_end)
{
	vuf.protocol |= 1ull << VUC_P_GET_VRING_BASE_INFLIGHT;
	if (_i)
		vuf.protocol &= ~(1ull << VUC_P_INFLIGHT_SHMFD);
	vuf_serve();
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	if (_i)
		vuf_take_inflight();
	vuf_start_rings();
	hold_requests();
	ask(VUC_GET_VRING_BASE, 0);
	vuf_settle();
	ck_assert_uint_eq(vuf_cancelled(), 0);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	expect_base(0, 5);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_int_eq(vuf_finish_any(i % 2)->status, OK);
}
END_TEST

/* The guest has forgotten them: they must not be served again into memory that is used otherwise. */
START_TEST(reset_forgets_suspended_requests)
{
	serve_with_suspension();
	hold_requests();
	suspend_rings(false);
	vuf_set_hold(false);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, _i ? VUC_RESET_DEVICE : VUC_RESET_OWNER), 0);
	for (uint32_t i = 0; i < 2; i++)
		vug_queue_reset(&vuf.queues[i]);
	vuf_start();
	ck_assert_uint_eq(test_log_count("repeats"), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	ck_assert_int_eq(vuf_do(1, IN, 0, 512, 1), OK);
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
	tcase_add_loop_test(tc, base_with_requests_in_flight, 0, 8);
	tcase_add_test(tc, server_dies_after_the_migration);
	tcase_add_test(tc, log_of_a_disk_with_another_serial_number);
	tcase_add_test(tc, base_waits_for_io_that_has_begun);
	tcase_add_test(tc, base_does_not_wait_for_a_retry);
	tcase_add_loop_test(tc, base_without_a_log_of_the_front_end, 0, 2);
	tcase_add_loop_test(tc, reset_forgets_suspended_requests, 0, 2);
	tcase_add_loop_test(tc, lost_writes_are_remembered, 0, ARRAY_SIZE(losses));
	tcase_add_loop_test(tc, write_cache_stays_off, 0, 2);
	tcase_add_test(tc, write_cache_of_the_next_front_end);
	tcase_add_test(tc, log_of_a_former_front_end_is_not_used);
	return suite_run(s);
}
