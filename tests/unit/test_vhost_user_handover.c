// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/frontend/vhost_user_handover.c and lib/vhost_user_transcript.c: the connection of a front end
 * passes to the next server, and the front end does not notice.
 */
#include <check.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK     VIRTIO_BLK_S_OK
#define IN     VIRTIO_BLK_T_IN
#define OUT    VIRTIO_BLK_T_OUT
#define BIT(n) (1ull << (n))

static void hand_over(void)
{
	vuf_hand_over(MANUAL_DO);
	vuf_serve();
}

/* Writes and reads on each queue, in the server that serves now. */
static void check_rings(uint8_t fill)
{
	struct vug_slot *slot;

	for (uint32_t i = 0; i < VUF_QUEUES; i++) {
		ck_assert_int_eq(vuf_do(i, OUT, i * 64, 4096, (uint8_t)(fill + i)), OK);
		slot = vuf_offer(i, IN, i * 64, 4096, 0);
		ck_assert_int_eq(vuf_finish(i, slot), OK);
		vuf_check_data(slot, (uint8_t)(fill + i));
	}
}

static void get_status(uint64_t expected)
{
	uint64_t status;

	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &status), 0);
	ck_assert_uint_eq(status, expected);
}

static bool keeps_inflight;

static void get_keeps_inflight(void)
{
	keeps_inflight = vuf.device.vhost_user->keeps_inflight;
}

/* _i: without an inflight log of the front end; idle rings; both. */
START_TEST(rings_go_on)
{
	if (_i & 1)
		vuf.protocol &= ~BIT(VUC_P_INFLIGHT_SHMFD);
	vuf_up();
	if (!(_i & 2))
		check_rings(1);
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_STATUS, 0xf), 0);
	for (unsigned int n = 0; n < 5; n++) {
		hand_over();
		check_rings((uint8_t)(10 + 2 * n));
		get_status(0xf);
		vuf_call(get_keeps_inflight);
		ck_assert(keeps_inflight == !(_i & 1));
	}
}
END_TEST

START_TEST(requests_in_flight_are_served_again)
{
	if (_i)
		vuf.protocol &= ~BIT(VUC_P_INFLIGHT_SHMFD);
	vuf_up();
	check_rings(1);
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		for (uint32_t j = 0; j < 3; j++)
			vuf_hold(i, OUT, i * 64 + j * 8, 4096, (uint8_t)(20 + j));
	test_log_allow(LOG_LEVEL_INFO, "repeats 3 requests");
	vuf_hand_over(-ECANCELED);
	vuf_serve();
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		for (uint32_t j = 0; j < 3; j++)
			ck_assert_int_eq(vuf_finish_any(i)->status, OK);
	check_rings(40);
}
END_TEST

/* A write was lost in the page cache. Only a reset by the driver ends that. */
START_TEST(lost_writes_are_not_forgotten)
{
	struct vug_slot *slot;

	vuf_up();
	slot = vuf_hold(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	test_log_allow(LOG_LEVEL_ERROR, "flush: Input/output error");
	test_log_allow(LOG_LEVEL_ERROR, "writes may be lost");
	vuf_set_hold(false);
	vuf_end_held(-EIO);
	ck_assert_int_eq(vuf_finish(0, slot), VIRTIO_BLK_S_IOERR);
	for (unsigned int n = 0; n < 2; n++) {
		hand_over();
		ck_assert_int_eq(vuf_do(1, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
		ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	}
}
END_TEST

/* The rings of a front end that has not started them, or has stopped them. */
START_TEST(stopped_rings_stay_stopped)
{
	uint32_t base;

	vuf_serve();
	vuf_connect();
	if (_i) {
		vuf_start();
		check_rings(1);
		for (uint32_t i = 0; i < VUF_QUEUES; i++)
			ck_assert_int_eq(vuc_get_vring_base(&vuf.c, i, &base), 0);
	}
	hand_over();
	get_status(0);
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		ck_assert_int_eq(vuf_state(i), QUEUE_STOPPED);
	if (_i)
		return;
	vuf_start();
	check_rings(1);
}
END_TEST

/* The former server has received @size bytes of the message, and the next one receives the rest. */
static void split(const uint32_t *message, size_t size, size_t first, const int *fds)
{
	ck_assert_int_eq(vuc_send_bytes(&vuf.c, message, first, fds, fds != NULL), 0);
	vuf_settle();
	hand_over();
	ck_assert_int_eq(
		vuc_send_bytes(&vuf.c, (const uint8_t *)message + first, size - first, NULL, 0), 0);
}

START_TEST(message_is_split)
{
	const uint32_t call[] = { VUC_SET_VRING_CALL, VUC_VERSION, 8, 1, 0 };
	const uint32_t status[] = { VUC_GET_STATUS, VUC_VERSION, 0 };
	struct vuc_message reply;

	vuf_up();
	for (size_t first = 1; first < sizeof(call); first += 3) {
		split(call, sizeof(call), first, &vuf.queues[1].call_fd);
		check_rings((uint8_t)first);
	}
	for (size_t first = 1; first < sizeof(status); first += 5) {
		split(status, sizeof(status), first, NULL);
		ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
		ck_assert_uint_eq(reply.header.request, VUC_GET_STATUS);
	}
}
END_TEST

static sem_t gate;

static void wait_for_gate(struct ring_message *message)
{
	(void)message;
	sem_wait(&gate);
}

/* Messages that the former server has not received are in the connection. */
START_TEST(messages_that_were_not_received)
{
	const uint32_t status[] = { VUC_GET_STATUS, VUC_VERSION, 0 };
	struct vuc_message reply;
	struct ring_message hold;

	vuf_up();
	sem_init(&gate, 0, 0);
	vuf_post(&hold, wait_for_gate);
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_int_eq(vuc_send_bytes(&vuf.c, status, sizeof(status), NULL, 0), 0);
	sem_post(&gate);
	hand_over();
	for (unsigned int i = 0; i < 10; i++) {
		ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
		ck_assert_uint_eq(reply.header.request, VUC_GET_STATUS);
	}
	check_rings(1);
}
END_TEST

START_TEST(socket_for_requests_to_the_front_end_goes_along)
{
	struct vuc_header header;

	vuf_up();
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	hand_over();
	vuf_settle();
	/* The next server does not know whether the size that the front end has read is still right. */
	ck_assert_int_eq(vuc_next_backend_request(&vuf.c, &header), 0);
	ck_assert_uint_eq(header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
}
END_TEST

/* After it the front end may connect again, and another one after that one. */
START_TEST(front_end_leaves_the_next_server)
{
	vuf_up();
	hand_over();
	check_rings(1);
	vuf_disconnect();
	close(vuf.inflight_fd);
	vuf.inflight_fd = -1;
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		vug_queue_reset(&vuf.queues[i]);
	vuf_connect();
	vuf_start();
	check_rings(2);
}
END_TEST

/* The former server was killed while it sent the transcript: its end closes early. */
START_TEST(part_of_a_transcript)
{
	int transcript[2], connection[2];
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, transcript), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection), 0);
	if (_i) {
		const uint32_t status[] = { VUC_SET_STATUS, VUC_VERSION, 8, 1, 0 };

		ck_assert_int_eq(write(transcript[1], status, sizeof(status)), sizeof(status));
	}
	close(transcript[1]);
	vuf.connection.fds[0] = connection[0];
	vuf.connection.fds[1] = transcript[0];
	test_log_expect(LOG_LEVEL_ERROR, "has passed only a part of its state");
	vuf_serve();
	ck_assert_int_eq(read(connection[1], &byte, 1), 0); /* it is closed */
	vuf_wait(load_acquire(&vuf.resumed) == -ECONNRESET);
	close(connection[1]);
	vuf_connect();
	vuf_start();
	check_rings(1);
}
END_TEST

/* The takeover is complete: the former server forgets the disk. */
static void keep_it(void)
{
	vuf_forget_connection();
	vhost_user_keep_connection(&vuf.device);
}

static void ask_for_status(void)
{
	const uint32_t get_status[] = { VUC_GET_STATUS, VUC_VERSION, 0 };

	ck_assert_int_eq(vuc_send_bytes(&vuf.c, get_status, sizeof(get_status), NULL, 0), 0);
}

static void expect_status(void)
{
	struct vuc_message reply;

	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, VUC_GET_STATUS);
	ck_assert_uint_eq(reply.u64, 0xf);
}

/*
 * The next server serves the rings, and leaves messages in the connection, which the former server can
 * take back. _i: it does.
 */
START_TEST(held_connection_can_go_back)
{
	vuf_up();
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_STATUS, 0xf), 0);
	for (unsigned int n = 0; n < 3; n++) {
		vuf_hand_over_held();
		vuf_serve();
		check_rings((uint8_t)(10 + 4 * n));
		vuf_wait(load_acquire(&vuf.resumed) == 0);
		ask_for_status();
		check_rings((uint8_t)(11 + 4 * n));
		ck_assert_int_eq(recv(vuf.c.fd, &(char){ 0 }, 1, MSG_DONTWAIT | MSG_PEEK), -1);
		if (_i) {
			vuf_take_back();
			vuf_serve();
		} else {
			vuf_call(keep_it);
		}
		expect_status();
		check_rings((uint8_t)(12 + 4 * n));
		get_status(0xf);
	}
}
END_TEST

/* A front end cannot end a transcript that does not exist. */
START_TEST(front_end_says_what_only_a_server_says)
{
	vuf_up();
	vuf_expect_refusal(vuc_set_u64(&vuf.c, VHOST_USER_TRANSCRIPT_END, 0), "it is unknown");
}
END_TEST

/* The last server ends while it receives the transcript, or before. */
START_TEST(servers_leave_nothing_behind)
{
	vuf_up();
	for (unsigned int i = 0; i < 20; i++) {
		check_rings((uint8_t)i);
		hand_over();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_handover");
	TCase *tc = suite_case(s, "vhost_user_handover", vuf_setup, vuf_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, rings_go_on, 0, 4);
	tcase_add_loop_test(tc, requests_in_flight_are_served_again, 0, 2);
	tcase_add_test(tc, lost_writes_are_not_forgotten);
	tcase_add_loop_test(tc, stopped_rings_stay_stopped, 0, 2);
	tcase_add_test(tc, message_is_split);
	tcase_add_test(tc, messages_that_were_not_received);
	tcase_add_test(tc, socket_for_requests_to_the_front_end_goes_along);
	tcase_add_test(tc, front_end_leaves_the_next_server);
	tcase_add_loop_test(tc, part_of_a_transcript, 0, 2);
	tcase_add_loop_test(tc, held_connection_can_go_back, 0, 2);
	tcase_add_test(tc, front_end_says_what_only_a_server_says);
	tcase_add_test(tc, servers_leave_nothing_behind);
	return suite_run(s);
}
