// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/vhost_user_rings.c and vhost_user_effect.c: when rings start, stop and go on. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mappings.h"
#include "suite.h"
#include "task.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define IN     VIRTIO_BLK_T_IN
#define OUT    VIRTIO_BLK_T_OUT
#define BIT(n) (1ull << (n))

START_TEST(requests_are_served)
{
	vuf.indirect = _i & 1;
	vuf.event_idx = _i & 2;
	vuf.worker_count = 1 + (_i >> 2);
	vuf_up();
	for (uint32_t queue = 0; queue < VUF_QUEUES; queue++)
		for (uint8_t i = 1; i < 40; i++) {
			struct vug_slot *slot;

			ck_assert_int_eq(vuf_do(queue, OUT, i * 8u, 4096, i), OK);
			slot = vuf_offer(queue, IN, i * 8u, 4096, 0);
			ck_assert_int_eq(vuf_finish(queue, slot), OK);
			vuf_check_data(slot, i);
		}
}
END_TEST

/* ---- when a ring starts ---- */

static struct vug_queue *q;

static void connect_with_memory(void)
{
	vuf_serve();
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	q = &vuf.queues[0];
}

static int send_part(unsigned int part)
{
	switch (part) {
	case 0:
		return vug_send_num(q, &vuf.c);
	case 1:
		return vug_send_addr(q, &vuf.c, false);
	case 2:
		return vug_send_kick(q, &vuf.c);
	case 3:
		return vug_send_enable(q, &vuf.c, true);
	}
	return -EINVAL;
}

/* The last of four messages is each of them in turn. */
START_TEST(ring_starts_when_nothing_is_missing)
{
	connect_with_memory();
	ck_assert_int_eq(vug_send_call(q, &vuf.c), 0);
	for (unsigned int i = 1; i <= 4; i++) {
		ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
		ck_assert_int_eq(send_part(((unsigned int)_i + i) % 4), 0);
	}
	ck_assert_int_eq(vuf_state(0), QUEUE_RUNNING);
	ck_assert_int_eq(vuf_state(1), QUEUE_STOPPED);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

/* Without bit 30 a ring is enabled from the beginning. */
START_TEST(ring_is_enabled_without_protocol_features)
{
	vuf.refused = BIT(VUC_F_PROTOCOL);
	connect_with_memory();
	ck_assert_int_eq(vug_send_call(q, &vuf.c), 0);
	ck_assert_int_eq(vug_send_enable(q, &vuf.c, false), 0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(send_part(i), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_RUNNING);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

START_TEST(disabled_ring_waits)
{
	struct vug_slot *slot;

	vuf_up();
	q = &vuf.queues[1];
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
	ck_assert_int_eq(vug_send_enable(q, &vuf.c, false), 0);
	ck_assert_int_eq(vuf_state(1), QUEUE_STOPPED);
	slot = vuf_offer(1, OUT, 0, 512, 2);
	vug_kick(q);
	vuf_settle();
	ck_assert_uint_eq(vug_used_idx(q), 1);
	ck_assert_int_eq(vuf_do(0, OUT, 8, 512, 1), OK); /* the other one goes on */
	ck_assert_int_eq(vug_send_enable(q, &vuf.c, true), 0);
	ck_assert_int_eq(vuf_finish(1, slot), OK);
	ck_assert_uint_eq(vug_used_idx(q), 2);
}
END_TEST

/* The acknowledgement of SET_VRING_ENABLE comes when the worker has started or stopped the ring. */
START_TEST(ring_runs_when_enabling_is_acknowledged)
{
	vuf_up();
	for (unsigned int i = 0; i < 20; i++) {
		ck_assert_int_eq(vug_send_enable(&vuf.queues[0], &vuf.c, i % 2), 0);
		ck_assert_int_eq(load_relaxed(&vuf.device.queues.all[0].state),
				 i % 2 ? QUEUE_RUNNING : QUEUE_STOPPED);
	}
}
END_TEST

/* ---- rings that cannot start ---- */

START_TEST(driver_is_older_than_virtio_1)
{
	vuf.refused = BIT(VIRTIO_F_VERSION_1);
	connect_with_memory();
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(send_part(i), 0);
	vuf_expect_refusal(send_part(3), "without VIRTIO_F_VERSION_1");
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);

	/* Other messages are not refused for it; with the feature, a new kick starts the ring. */
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_SET_OWNER), 0);
	vuf.refused = 0;
	vuf_accept_features();
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	ck_assert_int_eq(send_part(2), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_RUNNING);
}
END_TEST

START_TEST(no_memory_of_the_guest)
{
	vuf_serve();
	vuf_connect();
	vuf_accept_features();
	q = &vuf.queues[0];
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(send_part(i), 0);
	vuf_expect_refusal(send_part(3), "before it passed memory of the guest");
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
}
END_TEST

START_TEST(ring_is_not_in_the_inflight_log)
{
	connect_with_memory();
	vuf.inflight = (struct vuc_inflight){ .num_queues = 1, .queue_size = VUF_RING_SIZE };
	ck_assert_int_eq(vuc_get_inflight(&vuf.c, &vuf.inflight, &vuf.inflight_fd), 0);
	vuf_pass_inflight();
	q = &vuf.queues[1];
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(send_part(i), 0);
	vuf_expect_refusal(send_part(3), "that its inflight log does not have");
	ck_assert_int_eq(vuf_state(1), QUEUE_STOPPED);
}
END_TEST

START_TEST(size_of_the_ring)
{
	static const uint32_t wrong[] = {
		0, 3, 63, VUF_RING_SIZE * 2, 65536, 1u << 31, UINT32_MAX
	};

	connect_with_memory();
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		vuf_expect_refusal(vuc_set_state(&vuf.c, VUC_SET_VRING_NUM, 0, wrong[i]),
				   "no power of two, or above queue_size");
	for (uint32_t num = 1; num <= VUF_RING_SIZE; num *= 2)
		ck_assert_int_eq(vuc_set_state(&vuf.c, VUC_SET_VRING_NUM, 0, num), 0);
}
END_TEST

static void expect_base(uint32_t queue, uint32_t expected)
{
	uint32_t base;

	ck_assert_int_eq(vuc_get_vring_base(&vuf.c, queue, &base), 0);
	ck_assert_uint_eq(base, expected);
}

/* A ring that was never mapped keeps its base, also where it had another one before. */
START_TEST(addresses_are_in_no_memory)
{
	struct vuc_vring_addr addr = { .index = 0 };

	test_log_allow(LOG_LEVEL_ERROR, "its rings are not mapped");
	vuf_up();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	expect_base(0, 1);
	ck_assert_int_eq(vuc_set_state(&vuf.c, VUC_SET_VRING_BASE, 0, 77), 0);
	addr.desc = vug_user_addr(&vuf.memory, vuf.queues[0].desc_addr);
	addr.avail = vug_user_addr(&vuf.memory, vuf.queues[0].avail_addr);
	addr.used = _i ? 0x1000 : UINT64_MAX - 7;
	ck_assert_int_eq(vuc_tell(&vuf.c, VUC_SET_VRING_ADDR,
				  &(struct vuc_send){ .payload = &addr, .size = sizeof(addr) }),
			 0);
	ck_assert_int_eq(vug_send_kick(&vuf.queues[0], &vuf.c), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_BROKEN);
	expect_base(0, 77);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
}
END_TEST

static void break_ring(void)
{
	uint16_t idx = q->avail->idx;

	q->avail->ring[idx % VUF_RING_SIZE] = VUF_RING_SIZE;
	store_release(&q->avail->idx, (uint16_t)(idx + 1));
	vug_kick(q);
	vuf_wait(vuf_state(0) == QUEUE_BROKEN);
}

/* A driver that breaks its ring stops it; the base is where that was. */
START_TEST(driver_breaks_its_ring)
{
	test_log_expect(LOG_LEVEL_ERROR, "the driver wrote an invalid ring");
	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	break_ring();
	expect_base(0, 1);
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
	vug_queue_reset(q);
	ck_assert_int_eq(vug_send_start(q, &vuf.c), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

/* ---- eventfds ---- */

static int send_fd(uint32_t request, uint64_t value, int fd)
{
	return vuc_tell(&vuf.c, request,
			&(struct vuc_send){ .payload = &value,
					    .size = sizeof(value),
					    .fds = &fd,
					    .fd_count = fd >= 0 });
}

/* SET_VRING_ERR's eventfd says so, each time once. 0: it was not passed; 2: it was taken away */
START_TEST(err_eventfd_says_that_a_ring_is_broken)
{
	uint64_t count;

	vuf_up();
	q = &vuf.queues[0];
	if (_i)
		ck_assert_int_eq(vug_send_err(q, &vuf.c), 0);
	if (_i == 2)
		ck_assert_int_eq(send_fd(VUC_SET_VRING_ERR, VUC_NO_FD, -1), 0);
	for (unsigned int i = 0; i < 2; i++) {
		test_log_expect(LOG_LEVEL_ERROR, "the driver wrote an invalid ring");
		break_ring();
		vuf_settle();
		ck_assert_int_eq(eventfd_read(vuf.queues[1].err_fd, &count), -1);
		if (_i != 1) {
			ck_assert_int_eq(eventfd_read(q->err_fd, &count), -1);
		} else {
			vuf_wait(!eventfd_read(q->err_fd, &count));
			ck_assert_uint_eq(count, 1);
		}
		expect_base(0, 0);
		vug_queue_reset(q);
		ck_assert_int_eq(vug_send_start(q, &vuf.c), 0);
	}
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_disconnect();
	ck_assert_int_eq(eventfd_read(q->err_fd, &count), -1);
}
END_TEST

START_TEST(err_eventfd_goes_to_the_next_server)
{
	uint64_t count;

	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(vug_send_err(q, &vuf.c), 0);
	vuf_hand_over(MANUAL_DO);
	vuf_serve();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	test_log_expect(LOG_LEVEL_ERROR, "the driver wrote an invalid ring");
	break_ring();
	vuf_wait(!eventfd_read(q->err_fd, &count));
}
END_TEST

/* The front end fills it, and takes O_NONBLOCK away: the worker and the end of the device do not wait. */
START_TEST(err_eventfd_is_full_and_blocks)
{
	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(vug_send_err(q, &vuf.c), 0);
	ck_assert_int_eq(eventfd_write(q->err_fd, UINT64_MAX - 1), 0);
	ck_assert_int_eq(fcntl(q->err_fd, F_SETFL, 0), 0);
	test_log_expect(LOG_LEVEL_ERROR, "the driver wrote an invalid ring");
	break_ring();
	ck_assert_int_eq(vuf_do(1, OUT, 8, 512, 1), OK);
	vuf_stop();
}
END_TEST

START_TEST(eventfds_are_eventfds)
{
	static const uint32_t requests[] = { VUC_SET_VRING_KICK, VUC_SET_VRING_CALL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[2];

	connect_with_memory();
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	vuf_expect_refusal(send_fd(requests[_i], 0, null), "its descriptor is no eventfd");
	vuf_expect_refusal(send_fd(requests[_i], 0, fds[0]), "its descriptor is no eventfd");
	vuf_expect_refusal(send_fd(requests[_i], 0, vuf.c.fd), "its descriptor is no eventfd");
	vuf_expect_refusal(send_fd(requests[_i], 0, -1), "it has no descriptor");
	vuf_expect_refusal(send_fd(requests[_i], VUC_NO_FD, q->err_fd),
			   "and says that it has none");
	ck_assert_int_eq(send_fd(requests[_i], 0, q->err_fd), 0);
	close(null);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(polling_without_a_kick_is_not_possible)
{
	connect_with_memory();
	vuf_expect_refusal(send_fd(VUC_SET_VRING_KICK, VUC_NO_FD, -1),
			   "polled without a kick eventfd");
	ck_assert_int_eq(send_fd(VUC_SET_VRING_ERR, VUC_NO_FD, -1), 0);
	ck_assert_int_eq(send_fd(VUC_SET_VRING_ERR, 0, q->err_fd), 0);
}
END_TEST

START_TEST(call_may_be_missing)
{
	struct vug_slot *slot;

	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(send_fd(VUC_SET_VRING_CALL, VUC_NO_FD, -1), 0);
	slot = vuf_offer(0, OUT, 0, 512, 1);
	vuf_wait(vug_used_idx(q) == 1);
	vuf_settle();
	ck_assert(!vug_irq_clear(q));
	ck_assert_int_eq(vug_send_call(q, &vuf.c), 0);
	ck_assert_int_eq(vug_reap(q, &slot), 1);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

/* Under I/O, again and again: each interrupt comes to the eventfd of then, or of before. */
START_TEST(call_is_replaced_under_io)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vuf_up();
	q = &vuf.queues[0];
	for (unsigned int i = 0; i < 300; i++) {
		struct vug_slot *slot = vuf_offer(0, OUT, 0, 512, 1), *done;
		int fd = i % 2 ? q->call_fd : other;

		ck_assert_int_eq(send_fd(VUC_SET_VRING_CALL, 0, fd), 0);
		vuf_wait(vug_used_idx(q) == (uint16_t)(i + 1));
		ck_assert_int_eq(vug_reap(q, &done), 1);
		ck_assert_ptr_eq(done, slot);
		ck_assert_int_eq(done->status, OK);
	}
	close(other);
	ck_assert_int_eq(vug_send_call(q, &vuf.c), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

/*
 * The front end fills its eventfd, and takes O_NONBLOCK away. The worker serves the other ring, the
 * next front end gets its interrupts, and the device can be closed.
 */
START_TEST(call_eventfd_is_full_and_blocks)
{
	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(eventfd_write(q->call_fd, UINT64_MAX - 1), 0);
	ck_assert_int_eq(fcntl(q->call_fd, F_SETFL, 0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		vuf_offer(0, OUT, 0, 512, 1);
		vuf_wait(vug_used_idx(q) == i + 1);
		ck_assert_int_eq(vuf_do(1, OUT, 8, 512, 1), OK);
	}
	if (_i == 1) {
		ck_assert_int_eq(vug_send_enable(q, &vuf.c, false), 0);
		ck_assert_int_eq(vug_send_enable(q, &vuf.c, true), 0);
		expect_base(0, 3);
	} else if (_i == 2) {
		vuf_disconnect();
	}
	if (_i) {
		vug_queue_exit(q);
		ck_assert_int_eq(
			vug_queue_init(q, &vuf.memory, 0, VUF_RING_SIZE, VUF_GUEST_ADDR(0)), 0);
	}
	if (_i == 2) {
		vug_queue_reset(&vuf.queues[1]);
		vuf_connect();
		close(vuf.inflight_fd);
		vuf.inflight_fd = -1;
		vuf_start();
	} else if (_i == 1) {
		ck_assert_int_eq(vug_send_start(q, &vuf.c), 0);
	}
	if (_i)
		ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_stop();
}
END_TEST

START_TEST(kick_is_replaced)
{
	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	close(q->kick_fd);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_eq(vug_send_kick(q, &vuf.c), 0);
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	expect_base(0, 11);
}
END_TEST

/* ---- when a ring stops ---- */

static void ask_base(uint32_t queue)
{
	struct vuc_vring_state state = { .index = queue };

	ck_assert_int_eq(vuc_send(&vuf.c, VUC_GET_VRING_BASE,
				  &(struct vuc_send){ .payload = &state, .size = sizeof(state) }),
			 0);
}

static void expect_asked_base(uint32_t queue, uint32_t expected)
{
	struct vuc_message reply;

	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, VUC_GET_VRING_BASE);
	ck_assert_uint_eq(reply.header.size, sizeof(reply.state));
	ck_assert_uint_eq(reply.state.index, queue);
	ck_assert_uint_eq(reply.state.num, expected);
}

static bool has_reply(void)
{
	uint8_t byte;

	return recv(vuf.c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

START_TEST(base_comes_when_nothing_is_in_flight)
{
	struct vug_slot *slots[3], *late;

	vuf_up();
	q = &vuf.queues[0];
	for (unsigned int i = 0; i < 3; i++)
		slots[i] = vuf_hold(0, OUT, i * 8, 512, 1);
	ask_base(0);
	vuf_settle();
	ck_assert(!has_reply());
	late = vuf_offer(0, OUT, 64, 512, 1);
	vuf_settle();
	ck_assert_uint_eq(vuf_held(), 3); /* it pops no more */
	ck_assert_uint_eq(vuf_cancelled(), 0);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	expect_asked_base(0, 3);
	for (unsigned int i = 0; i < 3; i++)
		vuf_finish_any(0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(slots[i]->status, OK);
	ck_assert_uint_eq(vuf_in_flight(), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);

	/* the same ring goes on */
	ck_assert_int_eq(vug_send_start(q, &vuf.c), 0);
	ck_assert_int_eq(vuf_finish(0, late), OK);
	expect_base(0, 4);
}
END_TEST

START_TEST(base_of_a_ring_that_does_not_run)
{
	connect_with_memory();
	expect_base(0, 0);
	ck_assert_int_eq(vuc_set_state(&vuf.c, VUC_SET_VRING_BASE, 0, 65535), 0);
	ck_assert_int_eq(vuc_set_state(&vuf.c, VUC_SET_VRING_BASE, 1, 7), 0);
	expect_base(0, 65535);
	expect_base(1, 7);
	ck_assert_int_eq(vuc_set_state(&vuf.c, VUC_SET_VRING_BASE, 0, 65536 + 3), 0);
	expect_base(0, 3);
	expect_base(0, 3);
}
END_TEST

/* The kick of a ring that was stopped is forgotten: SET_VRING_ENABLE does not start it. */
START_TEST(stopped_ring_needs_a_kick)
{
	vuf_up();
	expect_base(0, 0);
	ck_assert_int_eq(vug_send_enable(&vuf.queues[0], &vuf.c, true), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	ck_assert_int_eq(vug_send_kick(&vuf.queues[0], &vuf.c), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_RUNNING);
}
END_TEST

/* Size, addresses and base of a ring that runs: it stops, and goes on where it was. */
START_TEST(ring_is_described_again_while_it_runs)
{
	struct vug_slot *slot;

	vuf_up();
	q = &vuf.queues[0];
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	slot = vuf_hold(0, OUT, 0, 512, 1);
	vuf_tell_later(VUC_SET_VRING_NUM, &(struct vuc_vring_state){ 0, VUF_RING_SIZE }, 8);
	vuf_settle();
	ck_assert(!has_reply());
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	ck_assert(vuf_acknowledged(VUC_SET_VRING_NUM));
	ck_assert_int_eq(vuf_finish(0, slot), OK);
	ck_assert_int_eq(vug_send_addr(q, &vuf.c, false), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	ck_assert_int_eq(vug_send_base(q, &vuf.c), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	expect_base(0, 8);
}
END_TEST

/* The ring was stopped for a message that is refused then. */
START_TEST(ring_goes_on_after_a_refusal)
{
	vuf_up();
	vuf_expect_refusal(vuc_set_state(&vuf.c, VUC_SET_VRING_NUM, 0, 3), "no power of two");
	ck_assert_int_eq(vuf_state(0), QUEUE_RUNNING);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_expect_refusal(vuc_set_inflight(&vuf.c, &(struct vuc_inflight){ .num_queues = 99 },
					    vuf.queues[0].err_fd),
			   "more queues");
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(vuf_do(i, OUT, 0, 512, 1), OK);
}
END_TEST

START_TEST(reset_stops_all_rings)
{
	struct vug_slot *slots[2];
	uint64_t status;

	vuf_up();
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_STATUS, 0xf), 0);
	for (uint32_t i = 0; i < 2; i++)
		slots[i] = vuf_hold(i, OUT, i * 8, 512, 1);
	vuf_tell_later(VUC_RESET_DEVICE, NULL, 0);
	vuf_wait(vuf_cancelled() == 2);
	vuf_settle();
	ck_assert(!has_reply());
	vuf_end_held(-ECANCELED);
	ck_assert(vuf_acknowledged(VUC_RESET_DEVICE));
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_int_eq(vuf_state(i), QUEUE_STOPPED);
		ck_assert_int_eq(vuf_finish(i, slots[i]), IOERR);
		expect_base(i, 0);
	}
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &status), 0);
	ck_assert_uint_eq(status, 0);
	vuf_set_hold(false);
	for (uint32_t i = 0; i < 2; i++)
		vug_queue_reset(&vuf.queues[i]);
	vuf_start();
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
}
END_TEST

/* RESET_OWNER waits for requests, and cancels none. */
START_TEST(reset_owner_stops_all_rings)
{
	struct vug_slot *slots[2];

	vuf_up();
	for (uint32_t i = 0; i < 2; i++)
		slots[i] = vuf_hold(i, OUT, i * 8, 512, 1);
	vuf_tell_later(VUC_RESET_OWNER, NULL, 0);
	vuf_settle();
	ck_assert_uint_eq(vuf_cancelled(), 0);
	ck_assert(!has_reply());
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	ck_assert(vuf_acknowledged(VUC_RESET_OWNER));
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_int_eq(vuf_finish(i, slots[i]), OK);
		ck_assert_int_eq(vuf_state(i), QUEUE_STOPPED);
	}
}
END_TEST

/* ---- memory changes ---- */

static int change_memory(void)
{
	return vug_memory_send(&vuf.memory, &vuf.c);
}

START_TEST(memory_is_set_again_under_io)
{
	vuf_up();
	for (unsigned int i = 0; i < 100; i++) {
		struct vug_slot *slots[2] = { vuf_offer(0, OUT, 0, 4096, 1),
					      vuf_offer(1, OUT, 8, 4096, 1) };

		ck_assert_int_eq(change_memory(), 0);
		ck_assert_int_eq(vuf_finish(0, slots[0]), OK);
		ck_assert_int_eq(vuf_finish(1, slots[1]), OK);
	}
	expect_base(0, 100);
	expect_base(1, 100);
}
END_TEST

/* ---- munmap() takes long ---- */

static sem_t unmaps, unmapped;
static bool unmap_stalls;

int munmap(void *addr, size_t size)
{
	if (size == VUG_QUEUE_BYTES &&
	    __atomic_exchange_n(&unmap_stalls, false, __ATOMIC_SEQ_CST)) {
		sem_post(&unmaps);
		while (sem_wait(&unmapped))
			;
	}
	return (int)syscall(SYS_munmap, addr, size);
}

static int remove_memory(void)
{
	return vuc_remove_memory(&vuf.c, &vuf.memory.regions[1].wire);
}

/* 0: the table is sent again; 1: a region is removed; 2: the front end leaves */
START_TEST(unmapping_delays_nobody)
{
	vuf_up();
	sem_init(&unmaps, 0, 0);
	sem_init(&unmapped, 0, 0);
	if (_i == 1)
		ck_assert_int_eq(vuc_get_vring_base(&vuf.c, 1, &(uint32_t){ 0 }), 0);
	store_relaxed(&unmap_stalls, true);
	if (_i == 0)
		ck_assert_int_eq(change_memory(), 0);
	else if (_i == 1)
		ck_assert_int_eq(remove_memory(), 0);
	else
		vuf_disconnect();
	while (sem_wait(&unmaps))
		;
	if (_i == 2) {
		vuf_connect();
		vuf_start();
	}
	ck_assert_int_eq(vuf_do(0, OUT, 0, 4096, 1), OK);
	ck_assert_uint_ge(mappings_total(), 1);
	sem_post(&unmapped);
	vuf_wait(!tasks_running());
	ck_assert_uint_eq(mappings_total(), _i == 1 ? 1 : 2);
}
END_TEST

/* Requests that have begun end first; those that could be cancelled are served after it, once. */
START_TEST(memory_waits_for_requests_in_flight)
{
	static const uint8_t zeroes[1 << 16];
	struct vug_slot *slots[2];

	vuf_up();
	slots[0] = vuf_hold(0, OUT, 0, 512, 5);
	slots[1] = vuf_hold(1, IN, 0, 512, 0);
	memset(slots[1]->data, 9, 512);
	vuf_tell_later(_i ? VUC_ADD_MEM_REG : VUC_REM_MEM_REG, zeroes, 40);
	vuf_wait(vuf_cancelled() == 2);
	vuf_settle();
	ck_assert(!has_reply());
	vuf_allow_refusals(); /* it has no effect but to wait */
	vuf_end_held(-ECANCELED);
	ck_assert(!vuf_acknowledged(_i ? VUC_ADD_MEM_REG : VUC_REM_MEM_REG));
	vuf_wait(vuf_held() == 2);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_uint_eq(vug_used_idx(&vuf.queues[i]), 0);
	ck_assert_uint_eq(slots[1]->data[0], 9);
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	ck_assert_int_eq(vuf_finish(0, slots[0]), OK);
	ck_assert_int_eq(vuf_finish(1, slots[1]), OK);
	expect_base(0, 1);
	expect_base(1, 1);
}
END_TEST

/* The base is behind the requests that a pause has put back: they are served first. */
START_TEST(base_with_requests_that_were_put_back)
{
	struct vug_slot *slot;

	vuf_up();
	slot = vuf_hold(0, OUT, 0, 512, 5);
	vuf_tell_later(VUC_SET_FEATURES, &vuf.features, 8);
	ask_base(0);
	vuf_wait(vuf_cancelled() == 1);
	vuf_end_held(-ECANCELED);
	ck_assert(vuf_acknowledged(VUC_SET_FEATURES));
	vuf_wait(vuf_held() == 1);
	ck_assert(!has_reply());
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	expect_asked_base(0, 1);
	ck_assert_int_eq(vuf_finish(0, slot), OK);
}
END_TEST

/* The front end takes the memory of a ring away that has requests put back: it stops as it is. */
START_TEST(base_with_requests_put_back_and_no_memory)
{
	vuf_up();
	vuf_hold(0, OUT, 0, 512, 5);
	vuf_tell_later(VUC_REM_MEM_REG,
		       &(struct vuc_memory_slot){ .region = vuf.memory.regions[0].wire },
		       sizeof(struct vuc_memory_slot));
	vuf_wait(vuf_cancelled() == 1);
	vuf_end_held(-ECANCELED);
	ck_assert(vuf_acknowledged(VUC_REM_MEM_REG));
	ck_assert_int_eq(vuf_state(0), QUEUE_PAUSED);
	vuf_set_hold(false);
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
	expect_base(0, 1);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	vuf_stop();
}
END_TEST

/* A ring without memory goes on when the memory is there again. */
START_TEST(memory_of_a_ring_goes_and_comes)
{
	struct vug_slot *slot;

	vuf_up();
	q = &vuf.queues[0];
	ck_assert_int_eq(vuc_remove_memory(&vuf.c, &vuf.memory.regions[0].wire), 0);
	ck_assert_int_eq(vuf_state(0), QUEUE_PAUSED);
	slot = vuf_offer(0, OUT, 0, 512, 5);
	vug_kick(q);
	vuf_settle();
	ck_assert_uint_eq(vug_used_idx(q), 0);
	ck_assert_int_eq(
		vuc_add_memory(&vuf.c, &vuf.memory.regions[0].wire, vuf.memory.regions[0].fd), 0);
	ck_assert_int_eq(vuf_finish(0, slot), OK);
}
END_TEST

START_TEST(memory_that_is_refused)
{
	struct vuc_region regions[9];
	int fds[9], disk = open(vuf.config.path, O_RDWR | O_CLOEXEC);

	for (unsigned int i = 0; i < 9; i++) {
		regions[i] = vuf.memory.regions[0].wire;
		fds[i] = vuf.memory.regions[0].fd;
	}
	connect_with_memory();
	vuf_expect_refusal(vuc_set_memory(&vuf.c, regions, fds, 2), "overlaps another one");
	ck_assert_int_eq(vuc_set_memory(&vuf.c, regions, fds, 0), 0);
	vuf_expect_refusal(vuc_add_memory(&vuf.c, regions, disk), "is not shared memory");
	vuf_expect_refusal(vuc_add_memory(&vuf.c, regions, -1), "a region needs a descriptor");
	regions[1].size = 1ull << 40;
	vuf_expect_refusal(vuc_add_memory(&vuf.c, &regions[1], fds[1]), "larger than its file");
	vuf_expect_refusal(vuc_remove_memory(&vuf.c, &regions[1]), "there is no such region");
	ck_assert_int_eq(vuc_set_memory(&vuf.c, regions, fds, 0), 0);
	ck_assert_int_eq(vug_memory_send_slots(&vuf.memory, &vuf.c), 0);
	close(disk);
}
END_TEST

/* The table has more or fewer regions than there are descriptors, or bytes. */
START_TEST(table_of_memory_does_not_fit)
{
	struct vuc_memory memory = { .count = 1 };
	int fds[8];

	for (unsigned int i = 0; i < 8; i++) {
		memory.regions[i] = vuf.memory.regions[0].wire;
		fds[i] = vuf.memory.regions[0].fd;
	}
	vuf_up();
	for (unsigned int i = 0; i < 4; i++) {
		static const struct {
			uint32_t count;
			unsigned int fds;
			size_t size;
			const char *part;
		} cases[] = {
			{ 1, 0, 40, "each region needs a descriptor" },
			{ 1, 2, 72, "each region needs a descriptor" },
			{ 2, 2, 71, "wrong size" },
			{ 9, 8, 264, "wrong size" },
		};

		memory.count = cases[i].count;
		vuf_expect_refusal(vuc_tell(&vuf.c, VUC_SET_MEM_TABLE,
					    &(struct vuc_send){ .payload = &memory,
								.size = cases[i].size,
								.fds = fds,
								.fd_count = cases[i].fds }),
				   cases[i].part);
	}
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK); /* the memory is as it was */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_rings");
	TCase *tc = suite_case(s, "vhost_user_rings", vuf_setup, vuf_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, requests_are_served, 0, 8);
	tcase_add_loop_test(tc, ring_starts_when_nothing_is_missing, 0, 4);
	tcase_add_test(tc, ring_is_enabled_without_protocol_features);
	tcase_add_test(tc, disabled_ring_waits);
	tcase_add_test(tc, ring_runs_when_enabling_is_acknowledged);
	tcase_add_test(tc, driver_is_older_than_virtio_1);
	tcase_add_test(tc, no_memory_of_the_guest);
	tcase_add_test(tc, ring_is_not_in_the_inflight_log);
	tcase_add_test(tc, size_of_the_ring);
	tcase_add_loop_test(tc, addresses_are_in_no_memory, 0, 2);
	tcase_add_test(tc, driver_breaks_its_ring);
	tcase_add_loop_test(tc, err_eventfd_says_that_a_ring_is_broken, 0, 3);
	tcase_add_test(tc, err_eventfd_goes_to_the_next_server);
	tcase_add_test(tc, err_eventfd_is_full_and_blocks);
	tcase_add_loop_test(tc, eventfds_are_eventfds, 0, 2);
	tcase_add_test(tc, polling_without_a_kick_is_not_possible);
	tcase_add_test(tc, call_may_be_missing);
	tcase_add_test(tc, call_is_replaced_under_io);
	tcase_add_loop_test(tc, call_eventfd_is_full_and_blocks, 0, 3);
	tcase_add_test(tc, kick_is_replaced);
	tcase_add_test(tc, base_comes_when_nothing_is_in_flight);
	tcase_add_test(tc, base_of_a_ring_that_does_not_run);
	tcase_add_test(tc, stopped_ring_needs_a_kick);
	tcase_add_test(tc, ring_is_described_again_while_it_runs);
	tcase_add_test(tc, ring_goes_on_after_a_refusal);
	tcase_add_test(tc, reset_stops_all_rings);
	tcase_add_test(tc, reset_owner_stops_all_rings);
	tcase_add_test(tc, memory_is_set_again_under_io);
	tcase_add_loop_test(tc, unmapping_delays_nobody, 0, 3);
	tcase_add_loop_test(tc, memory_waits_for_requests_in_flight, 0, 2);
	tcase_add_test(tc, base_with_requests_that_were_put_back);
	tcase_add_test(tc, base_with_requests_put_back_and_no_memory);
	tcase_add_test(tc, memory_of_a_ring_goes_and_comes);
	tcase_add_test(tc, memory_that_is_refused);
	tcase_add_test(tc, table_of_memory_does_not_fit);
	return suite_run(s);
}
