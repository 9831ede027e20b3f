// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/frontend/vhost_user_session.c, vhost_user_messages.c and vhost_user_device.c: which messages
 * are accepted, which replies they have, and when the connection ends.
 */
#include <check.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fds.h"
#include "mappings.h"
#include "store_fixture.h"
#include "suite.h"
#include "task.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK     VIRTIO_BLK_S_OK
#define OUT    VIRTIO_BLK_T_OUT
#define BIT(n) (1ull << (n))

/* ---- every message ---- */

struct row {
	uint32_t request;
	size_t size;	  /* of its payload */
	unsigned int fds; /* most descriptors */
	bool longer;	  /* there may be more bytes */
	bool replies;	  /* it has a reply of its own */
	bool wants_fd;	  /* it is refused without one */
	bool vring;	  /* the payload begins with the index of a vring */
	bool harmless;	  /* accepted with zeroes and no descriptor */
};

/* clang-format off */
static const struct row rows[] = {
	{ VUC_GET_FEATURES, 0, .replies = true, .harmless = true },
	{ VUC_SET_FEATURES, 8, .harmless = true },
	{ VUC_SET_OWNER, 0, .harmless = true },
	{ VUC_RESET_OWNER, 0, .harmless = true },
	{ VUC_SET_MEM_TABLE, 8, .fds = 8, .longer = true, .harmless = true },
	{ VUC_SET_LOG_BASE, 16, .fds = 1, .replies = true, .wants_fd = true },
	{ VUC_SET_LOG_FD, 0, .fds = 1, .harmless = true },
	{ VUC_SET_VRING_NUM, 8, .vring = true },
	{ VUC_SET_VRING_ADDR, 40, .vring = true, .harmless = true },
	{ VUC_SET_VRING_BASE, 8, .vring = true, .harmless = true },
	{ VUC_GET_VRING_BASE, 8, .vring = true, .replies = true, .harmless = true },
	{ VUC_SET_VRING_KICK, 8, .fds = 1, .vring = true, .wants_fd = true },
	{ VUC_SET_VRING_CALL, 8, .fds = 1, .vring = true, .wants_fd = true },
	{ VUC_SET_VRING_ERR, 8, .fds = 1, .vring = true, .harmless = true },
	{ VUC_GET_PROTOCOL_FEATURES, 0, .replies = true, .harmless = true },
	{ VUC_GET_QUEUE_NUM, 0, .replies = true, .harmless = true },
	{ VUC_SET_VRING_ENABLE, 8, .vring = true, .harmless = true },
	{ VUC_SET_BACKEND_REQ_FD, 0, .fds = 1, .wants_fd = true },
	{ VUC_GET_CONFIG, 12, .longer = true, .replies = true, .harmless = true },
	{ VUC_SET_CONFIG, 12, .longer = true },
	{ VUC_GET_INFLIGHT_FD, 24, .replies = true },
	{ VUC_SET_INFLIGHT_FD, 24, .fds = 1, .wants_fd = true },
	{ VUC_RESET_DEVICE, 0, .harmless = true },
	{ VUC_GET_MAX_MEM_SLOTS, 0, .replies = true, .harmless = true },
	{ VUC_ADD_MEM_REG, 40, .fds = 1, .wants_fd = true },
	{ VUC_REM_MEM_REG, 40, .fds = 1 },
	{ VUC_SET_STATUS, 8, .harmless = true },
	{ VUC_GET_STATUS, 0, .replies = true, .harmless = true },
	{ VUC_SET_DEVICE_STATE_FD, 8, .fds = 1, .replies = true, .wants_fd = true },
	{ VUC_CHECK_DEVICE_STATE, 0, .replies = true, .harmless = true },
	{ VUC_SET_PROTOCOL_FEATURES, 8, .harmless = true }, /* last: REPLY_ACK is off then */
};
/* clang-format on */

static const struct row *row_of(uint32_t request)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].request == request)
			return &rows[i];
	return NULL;
}

static void connect_again(void)
{
	vuc_close(&vuf.c);
	vuf_connect();
}

static void connect_first(void)
{
	vuf_serve();
	vuf_connect();
	vuf_allow_refusals();
}

static void send_raw(uint32_t request, uint32_t flags, const void *payload, size_t size,
		     unsigned int fd_count)
{
	static const uint8_t zeroes[VUC_PAYLOAD_MAX];
	int fds[VUC_FDS_MAX];

	for (unsigned int i = 0; i < fd_count; i++)
		fds[i] = vuf.queues[0].err_fd;
	ck_assert_int_eq(vuc_send(&vuf.c, request,
				  &(struct vuc_send){ .payload = payload ? payload : zeroes,
						      .size = size,
						      .fds = fds,
						      .fd_count = fd_count,
						      .flags = flags }),
			 0);
}

/* What a message with NEED_REPLY gets that is refused: a reply, or the end of the connection. */
static void expect_refused(const struct row *row)
{
	if (row && row->replies) {
		ck_assert(vuc_closed(&vuf.c));
		connect_again();
	} else {
		ck_assert(!vuf_acknowledged(row ? row->request : 0));
	}
}

/* The connection is alive, and there are no replies but those that were read. */
static void check_alive(void)
{
	uint64_t value;

	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_QUEUE_NUM, &value), 0);
	ck_assert_uint_eq(value, VUF_QUEUES);
}

START_TEST(payload_has_a_wrong_size)
{
	const struct row *row = &rows[_i];

	connect_first();
	if (row->size) {
		send_raw(row->request, VUC_NEED_REPLY, NULL, row->size - 1, 0);
		expect_refused(row);
		send_raw(row->request, VUC_NEED_REPLY, NULL, 0, 0);
		expect_refused(row);
	}
	if (!row->longer) {
		send_raw(row->request, VUC_NEED_REPLY, NULL, row->size + 1, 0);
		expect_refused(row);
		send_raw(row->request, VUC_NEED_REPLY, NULL, 256, 0);
		expect_refused(row);
	}
	check_alive();
}
END_TEST

START_TEST(descriptors_too_many_or_too_few)
{
	const struct row *row = &rows[_i];
	unsigned int before;

	connect_first();
	before = fds_open();
	if (row->fds == VHOST_USER_FDS_MAX)
		test_log_expect(LOG_LEVEL_ERROR, "too many descriptors with one message");
	send_raw(row->request, VUC_NEED_REPLY, NULL, row->size, row->fds + 1);
	if (row->fds == VHOST_USER_FDS_MAX) {
		ck_assert(vuc_closed(&vuf.c));
		connect_again();
	} else {
		expect_refused(row);
	}
	if (row->wants_fd) {
		send_raw(row->request, VUC_NEED_REPLY, NULL, row->size, 0);
		expect_refused(row);
	}
	check_alive();
	vuf_settle();
	vuf_wait(fds_open() == before);
}
END_TEST

START_TEST(vring_does_not_exist)
{
	static const uint32_t indices[] = { VUF_QUEUES, 255, 256, 1u << 31, UINT32_MAX };
	const struct row *row = &rows[_i];
	uint32_t payload[16] = { 0 };

	if (!row->vring)
		return;
	connect_first();
	for (unsigned int i = 0; i < ARRAY_SIZE(indices); i++) {
		/* Those with an eventfd have the index in eight bits. */
		if (row->fds && !(indices[i] & 0xff))
			continue;
		payload[0] = indices[i];
		send_raw(row->request, VUC_NEED_REPLY, payload, row->size, 0);
		expect_refused(row);
	}
	check_alive();
}
END_TEST

/* A reply of its own, or an acknowledgement where it is wanted; never both, never two. */
START_TEST(replies_come_once)
{
	const struct row *row = &rows[_i];
	struct vuc_message reply;
	unsigned int before;

	if (!row->harmless)
		return;
	connect_first();
	before = fds_open();
	send_raw(row->request, VUC_NEED_REPLY, NULL, row->size, 0);
	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, row->request);
	ck_assert_uint_eq(reply.header.flags, VUC_VERSION | VUC_REPLY);
	ck_assert(row->replies || (reply.header.size == 8 && !reply.u64));
	check_alive();
	send_raw(row->request, 0, NULL, row->size, 0);
	if (row->replies) {
		ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
		ck_assert_uint_eq(reply.header.request, row->request);
	}
	check_alive();
	vuf_wait(fds_open() == before);
}
END_TEST

/* NEED_REPLY means nothing before REPLY_ACK is accepted. */
START_TEST(nothing_is_acknowledged_without_reply_ack)
{
	vuf.protocol &= ~BIT(VUC_P_REPLY_ACK);
	connect_first();
	for (unsigned int i = 0; i + 1 < ARRAY_SIZE(rows); i++)
		if (rows[i].harmless && !rows[i].replies)
			send_raw(rows[i].request, VUC_NEED_REPLY, NULL, rows[i].size, 0);
	check_alive();
	send_raw(VUC_SET_VRING_NUM, VUC_NEED_REPLY, NULL, 8, 0);
	ck_assert(vuc_closed(&vuf.c));
	connect_again();
	check_alive();
}
END_TEST

/* Without a reply the front end would not know it. */
START_TEST(refusal_without_need_reply_ends_the_connection)
{
	connect_first();
	send_raw(VUC_SET_VRING_NUM, 0, NULL, 8, 0);
	ck_assert(vuc_closed(&vuf.c));
	ck_assert_uint_eq(test_log_count("refused message SET_VRING_NUM (8)"), 1);
	connect_again();
	check_alive();
}
END_TEST

/* Neither acknowledgements nor other replies: the server does not wait for it. */
START_TEST(front_end_does_not_read_replies)
{
	int err = 0;

	connect_first();
	for (unsigned int i = 0; i < 100000 && !err; i++)
		err = vuc_send(&vuf.c, _i ? VUC_GET_FEATURES : VUC_SET_OWNER,
			       &(struct vuc_send){ .flags = VUC_NEED_REPLY });
	ck_assert_int_eq(err, -ECONNRESET);
	connect_again();
	check_alive();
}
END_TEST

/* Numbers that the specification has, and this server has no use for; and others. */
START_TEST(unknown_message)
{
	struct vuc_message reply;

	connect_first();
	for (uint32_t request = 0; request < VUC_REQUEST_END + 4; request++) {
		uint32_t sent = request == VUC_REQUEST_END + 3 ? UINT32_MAX : request;

		if (row_of(sent))
			continue;
		send_raw(sent, VUC_NEED_REPLY, NULL, 8, sent % 3);
		ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
		ck_assert_uint_eq(reply.header.request, sent);
		ck_assert_uint_ne(reply.u64, 0);
	}
	check_alive();
	send_raw(0, 0, NULL, 0, 0);
	ck_assert(vuc_closed(&vuf.c));
}
END_TEST

START_TEST(not_a_message)
{
	static const struct {
		struct vuc_header header;
		const char *part;
	} cases[] = {
		{ { 1, 2, 0 }, "is disconnected: it sent a message of another version" },
		{ { 1, VUC_VERSION | VUC_REPLY, 0 }, "is disconnected: it sent a reply" },
		{ { 1, VUC_VERSION, 4096 }, "is disconnected: it sent a message that is too long" },
	};

	connect_first();
	test_log_expect(LOG_LEVEL_ERROR, cases[_i].part);
	ck_assert_int_eq(
		vuc_send_bytes(&vuf.c, &cases[_i].header, sizeof(struct vuc_header), NULL, 0), 0);
	ck_assert(vuc_closed(&vuf.c));
	connect_again();
	check_alive();
}
END_TEST

/* The front end leaves within a message, with a descriptor in it. */
START_TEST(connection_ends_within_a_message)
{
	uint32_t message[] = { VUC_SET_VRING_CALL, VUC_VERSION, 8, 0, 0 };
	unsigned int before;

	connect_first();
	for (size_t size = 1; size < sizeof(message); size++) {
		vuf_wait(!tasks_running());
		before = fds_open();
		ck_assert_int_eq(vuc_send_bytes(&vuf.c, message, size, &vuf.queues[0].err_fd, 1),
				 0);
		vuf_disconnect();
		vuf_connect();
		vuf_wait(fds_open() == before);
	}
	check_alive();
}
END_TEST

START_TEST(message_byte_by_byte)
{
	uint32_t message[] = { VUC_GET_STATUS, VUC_VERSION, 0 };
	struct vuc_message reply;

	connect_first();
	for (size_t i = 0; i < sizeof(message); i++) {
		ck_assert_int_eq(vuc_send_bytes(&vuf.c, (uint8_t *)message + i, 1, NULL, 0), 0);
		vuf_settle();
	}
	ck_assert_int_eq(vuc_receive(&vuf.c, &reply), 0);
	ck_assert_uint_eq(reply.header.request, VUC_GET_STATUS);
}
END_TEST

/* ---- features ---- */

START_TEST(features)
{
	const uint64_t own = BIT(VUC_F_LOG_ALL) | BIT(VUC_F_PROTOCOL);

	connect_first();
	ck_assert_uint_eq(vuf.offered, virtio_blk_features(&vuf.device.limits) | own);
	ck_assert(vuf.offered & BIT(VIRTIO_F_VERSION_1));
	ck_assert(vuf.offered & BIT(VIRTIO_BLK_F_CONFIG_WCE));
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(vuf.offered & BIT(bit)))
			vuf_expect_refusal(vuc_set_u64(&vuf.c, VUC_SET_FEATURES, BIT(bit)),
					   "features that were not offered");
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_FEATURES, vuf.offered), 0);
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_FEATURES, 0), 0);
}
END_TEST

START_TEST(protocol_features)
{
	uint64_t offered;

	connect_first();
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_PROTOCOL_FEATURES, &offered), 0);
	ck_assert_uint_eq(offered, vuf.protocol | BIT(VUC_P_GET_VRING_BASE_INFLIGHT));
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(offered & BIT(bit)))
			vuf_expect_refusal(vuc_set_u64(&vuf.c, VUC_SET_PROTOCOL_FEATURES, BIT(bit)),
					   "protocol features that were not offered");
	check_alive(); /* none of them took effect: REPLY_ACK is still on */
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_SET_OWNER), 0);
}
END_TEST

START_TEST(numbers_and_status)
{
	uint64_t value;
	int fds[2];

	connect_first();
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_MAX_MEM_SLOTS, &value), 0);
	ck_assert_uint_eq(value, VHOST_USER_SLOTS_MAX);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &value), 0);
	ck_assert_uint_eq(value, 0);
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_STATUS, 0x107), 0);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &value), 0);
	ck_assert_uint_eq(value, 7);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(vuc_device_state(&vuf.c, 0, fds[1]), 0);
	ck_assert_int_eq(close(fds[1]), 0);
	ck_assert_int_eq(read(fds[0], &value, 1),
			 0); /* the server has closed it, and wrote nothing */
	ck_assert_int_eq(close(fds[0]), 0);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_CHECK_DEVICE_STATE, &value), 0);
	ck_assert_uint_eq(value, 0);

	/* the next front end finds a new device */
	connect_again();
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &value), 0);
	ck_assert_uint_eq(value, 0);
}
END_TEST

START_TEST(backend_socket_is_kept)
{
	unsigned int before;

	connect_first();
	before = fds_open();
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	ck_assert_uint_eq(fds_open(), before + 2); /* one of ours, one of the server */
	vuf_disconnect();
	vuf_wait(fds_open() == before - 2);
}
END_TEST

/* ---- config space ---- */

static bool was_told_of_config(void)
{
	struct pollfd poll_fd = { .fd = vuf.c.backend_fd, .events = POLLIN };
	struct vuc_header header;

	vuf_settle();
	if (poll(&poll_fd, 1, 0) != 1)
		return false;
	ck_assert_int_eq(vuc_next_backend_request(&vuf.c, &header), 0);
	ck_assert_uint_eq(header.request, VUC_BACKEND_CONFIG_CHANGE);
	return true;
}

static void config_changed(void)
{
	vhost_user_config_changed(&vuf.device);
}

/* QEMU does not read the config space when it connects again; the disk may have grown meanwhile. */
START_TEST(front_end_without_config_is_told_once)
{
	uint8_t bytes[VUC_CONFIG_MAX];

	connect_first();
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	ck_assert_int_eq(vuc_get_config(&vuf.c, 0, 60, 0, bytes), 0);
	vuf_start();
	ck_assert(!was_told_of_config());

	vuf_disconnect();
	vuf_connect();
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	ck_assert(!was_told_of_config());
	vuf_start();
	ck_assert(was_told_of_config());
	ck_assert(!was_told_of_config());
	ck_assert_uint_eq(vuf_do(0, VIRTIO_BLK_T_OUT, 0, 512, 1), VIRTIO_BLK_S_OK);
}
END_TEST

/* QEMU ignores the message while the driver of its guest has not started the rings. */
START_TEST(front_end_is_told_again_when_rings_start)
{
	uint8_t bytes[VUC_CONFIG_MAX];

	connect_first();
	ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
	ck_assert_int_eq(vuc_get_config(&vuf.c, 0, 60, 0, bytes), 0);
	vuf_call(config_changed);
	ck_assert(was_told_of_config());
	vuf_start();
	ck_assert(was_told_of_config());
	vuf_call(config_changed);
	ck_assert(was_told_of_config());
	ck_assert(!was_told_of_config());
}
END_TEST

START_TEST(config_space_is_read)
{
	struct virtio_blk_config whole, part;
	uint8_t bytes[VUC_CONFIG_MAX];

	connect_first();
	virtio_blk_config(&vuf.device.limits, &whole);
	ck_assert_int_eq(vuc_get_config(&vuf.c, 0, sizeof(whole), 0, bytes), 0);
	ck_assert_mem_eq(bytes, &whole, sizeof(whole));
	ck_assert_uint_eq(whole.wce, 1);
	ck_assert_int_eq(vuc_get_config(&vuf.c, 8, 12, 5, bytes), 0);
	memcpy(&part, &whole, sizeof(part));
	ck_assert_mem_eq(bytes, (uint8_t *)&part + 8, 12);
	ck_assert_int_eq(vuc_get_config(&vuf.c, 0, VUC_CONFIG_MAX, 0, bytes), 0);
	for (size_t i = sizeof(whole); i < VUC_CONFIG_MAX; i++)
		ck_assert_uint_eq(bytes[i], 0);
	ck_assert_int_eq(vuc_get_config(&vuf.c, VUC_CONFIG_MAX - 1, 1, 0, bytes), 0);
}
END_TEST

/* clang-format off */
static const struct {
	uint32_t offset, size, bytes; /* @bytes: behind the header */
	bool read, written;	      /* is it accepted? */
} ranges[] = {
	{ 0, 0, 0, false, false },
	{ 0, 8, 8, true, true },
	{ 0, 8, 0, true, false }, /* a request may leave the bytes out */
	{ 0, 8, 7, true, false },
	{ 0, 8, 9, false, false },
	{ 0, 256, 256, true, true },
	{ 1, 256, 256, false, false },
	{ 256, 1, 1, false, false },
	{ 255, 1, 1, true, true },
	{ 255, 2, 2, false, false },
	{ UINT32_MAX, 8, 8, false, false },
	{ 0, UINT32_MAX, 8, false, false },
	{ 0, 257, 256, false, false },
};
/* clang-format on */

START_TEST(range_of_the_config_space)
{
	struct vuc_config config = { .offset = ranges[_i].offset, .size = ranges[_i].size };
	struct vuc_send what = { .payload = &config, .size = 12 + ranges[_i].bytes };
	struct vuc_message reply;

	connect_first();
	ck_assert_int_eq(vuc_ask(&vuf.c, VUC_GET_CONFIG, &what, &reply), 0);
	ck_assert_uint_eq(reply.header.size, ranges[_i].read ? 12 + ranges[_i].size : 0);
	if (ranges[_i].read) {
		ck_assert_uint_eq(reply.config.offset, ranges[_i].offset);
		ck_assert_uint_eq(reply.config.size, ranges[_i].size);
	}
	ck_assert_int_eq(vuc_tell(&vuf.c, VUC_SET_CONFIG, &what),
			 ranges[_i].written ? 0 : -EREMOTEIO);
	check_alive();
}
END_TEST

static uint8_t get_wce(void)
{
	uint8_t wce;

	ck_assert_int_eq(
		vuc_get_config(&vuf.c, offsetof(struct virtio_blk_config, wce), 1, 0, &wce), 0);
	return wce;
}

static bool write_is_durable(void)
{
	struct vug_slot *slot = vuf_hold(0, OUT, 0, 512, 1);
	bool durable = vuf_look(0).durable;

	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	ck_assert_int_eq(vuf_finish(0, slot), OK);
	return durable;
}

START_TEST(write_cache_is_switched)
{
	const uint32_t wce = offsetof(struct virtio_blk_config, wce);
	uint8_t space[sizeof(struct virtio_blk_config)] = { 0 };

	vuf_up();
	ck_assert_uint_eq(get_wce(), 1);
	ck_assert(!write_is_durable());
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce, "\0", 1), 0);
	ck_assert_uint_eq(get_wce(), 0);
	ck_assert(write_is_durable());
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce, "\1", 1), 0);
	ck_assert(!write_is_durable());
	ck_assert_int_eq(vuc_set_config(&vuf.c, 0, space, sizeof(space)), 0);
	ck_assert(write_is_durable());
	/* Ranges that end before it, and begin behind it. */
	ck_assert_int_eq(vuc_set_config(&vuf.c, 0, "\1\1\1\1", 4), 0);
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce - 4, "\1\1\1\1", 4), 0);
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce + 1, "\1\1\1\1", 4), 0);
	ck_assert(write_is_durable());
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce - 3, "\0\0\0\1", 4), 0);
	ck_assert(!write_is_durable());
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce, "\0\1", 2), 0);
	ck_assert(write_is_durable());

	/* Not a takeover, but a reset, and a new connection, switch it on. */
	vuf_hand_over(MANUAL_DO);
	vuf_serve();
	ck_assert_uint_eq(get_wce(), 0);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_RESET_DEVICE), 0);
	ck_assert_uint_eq(get_wce(), 1);
	ck_assert_int_eq(vuc_set_u64(&vuf.c, VUC_SET_FEATURES, vuf.features), 0);
	ck_assert_int_eq(vuc_set_config(&vuf.c, wce, "\0", 1), 0);
	ck_assert_uint_eq(get_wce(), 0);
	connect_again();
	ck_assert_uint_eq(get_wce(), 1);
}
END_TEST

START_TEST(write_cache_without_the_feature)
{
	vuf.refused = BIT(VIRTIO_BLK_F_CONFIG_WCE);
	vuf_up();
	ck_assert_int_eq(vuc_set_config(&vuf.c, offsetof(struct virtio_blk_config, wce), "\0", 1),
			 0);
	ck_assert_uint_eq(get_wce(), 1);
	ck_assert(!write_is_durable());
}
END_TEST

/* ---- connections ---- */

static pid_t front_end_pid;

static void get_front_end(void)
{
	front_end_pid = vhost_user_front_end(&vuf.device);
}

START_TEST(front_end_is_known)
{
	vuf_serve();
	vuf_call(get_front_end);
	ck_assert_int_eq(front_end_pid, 0);
	vuf_connect();
	vuf_call(get_front_end);
	ck_assert_int_eq(front_end_pid, getpid());
	vuf_disconnect();
	vuf_call(get_front_end);
	ck_assert_int_eq(front_end_pid, 0);
	ck_assert_uint_eq(test_log_count("has connected to"), 1);
	ck_assert_uint_eq(test_log_count("has disconnected"), 1);
}
END_TEST

/* A front end that connects in a loop does not fill the log. The errors that end connections neither. */
START_TEST(connections_in_a_loop)
{
	static const struct vuc_header wrong = { 1, 2, 0 };

	vuf_serve();
	if (_i) {
		test_log_allow(LOG_LEVEL_ERROR, "is disconnected: it sent a message of another");
		test_log_allow(LOG_LEVEL_WARNING, "more lines like this were suppressed");
	}
	for (unsigned int i = 0; i < 50; i++) {
		vuf_connect();
		if (!_i) {
			vuf_disconnect();
			continue;
		}
		ck_assert_int_eq(vuc_send_bytes(&vuf.c, &wrong, sizeof(wrong), NULL, 0), 0);
		ck_assert(vuc_closed(&vuf.c));
		vuf_disconnect();
	}
	ck_assert_uint_le(test_log_count("has connected to"), 20);
	ck_assert_uint_le(test_log_count("has disconnected"), 20);
	ck_assert_uint_le(test_log_count("is disconnected"), 20);
	vuf_stop();
	ck_assert_uint_ge(test_log_count("more lines like this were suppressed"), 1);
}
END_TEST

/* The listener reports a connection once, and no descriptor is free then. */
START_TEST(connection_is_accepted_later)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, free_fd;

	vuf_serve();
	strcpy(address.sun_path, vuf.config.socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	free_fd = dup(fd);
	close(free_fd);
	st_limit_fds((rlim_t)free_fd);
	test_log_expect(LOG_LEVEL_ERROR, "cannot accept a connection");
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	vuf_wait(test_log_count("cannot accept a connection"));
	st_limit_fds(RLIM_INFINITY);
	vuf_wait(test_log_count("a front end (process"));
	close(fd);
	vuf_wait(test_log_count("has disconnected"));
}
END_TEST

START_TEST(second_front_end_waits_for_the_first)
{
	struct vuc first;
	struct pollfd answer;

	vuf_up();
	first = vuf.c;
	ck_assert_int_eq(vuc_connect(&vuf.c, vuf.config.socket, VUF_PATIENCE_MS), 0);
	ck_assert_int_eq(vuc_send(&vuf.c, VUC_GET_FEATURES, NULL), 0);
	vuf_settle();
	answer = (struct pollfd){ .fd = vuf.c.fd, .events = POLLIN };
	ck_assert_int_eq(poll(&answer, 1, 20), 0);
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuc_close(&first);
	ck_assert_int_eq(poll(&answer, 1, VUF_PATIENCE_MS), 1);
}
END_TEST

/* A TCP connection whose close() waits: it lingers, and its other end does not read. Return: it */
static int make_lingering(int *other)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { .l_onoff = 1, .l_linger = 1000 };
	static const char bytes[65536];
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, len), 0);
	*other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* The main thread goes on; a front end that passes more of them waits, and others do not. */
START_TEST(close_of_a_descriptor_blocks)
{
	uint32_t message[] = { VUC_SET_VRING_ERR, VUC_VERSION, 8, 0, 0 };
	int others[VHOST_USER_CLOSERS_MAX], fd;

	connect_first();
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		fd = make_lingering(&others[i]);
		ck_assert_int_eq(vuc_send_bytes(&vuf.c, message, 4, &fd, 1), 0);
		close(fd);
		ck_assert_int_eq(
			vuc_send_bytes(&vuf.c, (char *)message + 4, sizeof(message) - 4, NULL, 0),
			0);
		if (i < ARRAY_SIZE(others) - 1)
			check_alive();
	}
	ck_assert_int_eq(vuc_send(&vuf.c, VUC_GET_FEATURES, NULL), 0);
	vuf_settle(); /* the main thread is alive */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = vuf.c.fd, .events = POLLIN }, 1, 20), 0);
	close(others[0]);
	ck_assert_int_eq(
		poll(&(struct pollfd){ .fd = vuf.c.fd, .events = POLLIN }, 1, VUF_PATIENCE_MS), 1);
	for (unsigned int i = 1; i < ARRAY_SIZE(others); i++)
		close(others[i]);
}
END_TEST

START_TEST(connections_leave_nothing_behind)
{
	unsigned int before = 0;

	vuf_serve();
	for (unsigned int i = 0; i < 60; i++) {
		vuf_connect();
		vuf_start();
		ck_assert_int_eq(vuf_do(i % 2, OUT, 0, 4096, 1), OK);
		if (i % 3)
			ck_assert_int_eq(vuc_set_backend_fd(&vuf.c), 0);
		vuf_disconnect();
		close(vuf.inflight_fd);
		vuf.inflight_fd = -1;
		for (uint32_t j = 0; j < VUF_QUEUES; j++)
			vug_queue_reset(&vuf.queues[j]);
		vuf_wait(!tasks_running());
		ck_assert_uint_eq(mappings_total(), 0);
		if (!i)
			before = fds_open();
		vuf_wait(fds_open() == before);
	}
}
END_TEST

/* ---- fairness ---- */

#define ROW 200u

static sem_t gate, looked;
static unsigned int handled;

static void send_in_a_row(uint32_t request)
{
	struct {
		uint32_t words[3];
	} messages[ROW];

	for (unsigned int i = 0; i < ROW; i++) {
		messages[i].words[0] = request;
		messages[i].words[1] = VUC_VERSION;
		messages[i].words[2] = 0;
	}
	ck_assert_int_eq(vuc_send_bytes(&vuf.c, messages, sizeof(messages), NULL, 0), 0);
}

static void wait_for_gate(struct ring_message *message)
{
	(void)message;
	sem_wait(&gate);
}

static void count_handled(struct ring_message *message)
{
	(void)message;
	handled = test_log_count(": SET_OWNER");
	sem_post(&looked);
}

/* Two messages for the main thread come in between: one before, one after the first batch. */
START_TEST(many_messages_in_a_row)
{
	struct ring_message hold, look;
	unsigned int before;
	uint64_t value;

	vuf_serve();
	vuf_connect();
	before = test_log_count(": SET_OWNER");
	sem_init(&gate, 0, 0);
	sem_init(&looked, 0, 0);
	vuf_post(&hold, wait_for_gate);
	send_in_a_row(VUC_SET_OWNER);
	vuf_post(&look, count_handled);
	sem_post(&gate);
	vuf_wait(!sem_trywait(&looked));
	ck_assert_uint_le(handled - before, 64);
	ck_assert_int_eq(vuc_get_u64(&vuf.c, VUC_GET_STATUS, &value), 0);
	ck_assert_uint_eq(test_log_count(": SET_OWNER") - before, ROW);
}
END_TEST

/* ---- the device is closed ---- */

START_TEST(device_is_closed_without_a_front_end)
{
	vuf_serve();
	if (_i) {
		vuf_connect();
		vuf_disconnect();
	}
	vuf_stop();
}
END_TEST

START_TEST(device_is_closed_under_io)
{
	struct vug_slot *slots[2];

	vuf.worker_count = 1 + (unsigned int)_i;
	vuf_up();
	for (uint32_t i = 0; i < 2; i++)
		slots[i] = vuf_hold(i, OUT, i * 8, 512, 1);
	vuf_begin_close();
	vuf_wait(vuf_cancelled() == 2);
	vuf_stop();
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_int_eq(vuf_finish(i, slots[i]), OK);
	ck_assert(vuc_closed(&vuf.c));
}
END_TEST

/* A message waits for a request, which the store holds: the device is closed after both. */
START_TEST(device_is_closed_with_a_message_pending)
{
	static const uint32_t requests[] = { VUC_GET_VRING_BASE, VUC_SET_FEATURES,
					     VUC_RESET_OWNER };
	const struct row *row = row_of(requests[_i]);

	vuf_up();
	vuf_hold(0, OUT, 0, 512, 1);
	send_raw(row->request, VUC_NEED_REPLY, NULL, row->size, 0);
	vuf_settle();
	vuf_begin_close();
	vuf_settle();
	vuf_set_hold(false);
	vuf_end_held(MANUAL_DO);
	vuf_await_close();
	if (row->replies)
		ck_assert_int_eq(vuc_receive(&vuf.c, &(struct vuc_message){ 0 }), 0);
	else
		ck_assert(vuf_acknowledged(row->request));
	ck_assert(vuc_closed(&vuf.c));
	vuf_stop();
}
END_TEST

/* The front end leaves at the same moment. */
START_TEST(device_is_closed_while_a_front_end_leaves)
{
	for (unsigned int i = 0; i < 20; i++) {
		vuf_serve();
		vuf_connect();
		if (_i)
			vuf_start();
		vuc_close(&vuf.c);
		if (i % 2)
			usleep(i * 20);
		vuf_stop();
		if (vuf.inflight_fd >= 0)
			close(vuf.inflight_fd);
		vuf.inflight_fd = -1;
		for (uint32_t j = 0; j < VUF_QUEUES; j++)
			vug_queue_reset(&vuf.queues[j]);
	}
}
END_TEST

/* It has sent messages that nobody has read. */
START_TEST(device_is_closed_with_unread_messages)
{
	struct ring_message hold;

	vuf_up();
	sem_init(&gate, 0, 0);
	vuf_post(&hold, wait_for_gate);
	send_in_a_row(VUC_GET_FEATURES);
	sem_post(&gate);
	vuf_stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_session");
	TCase *tc = suite_case(s, "vhost_user_session", vuf_setup, vuf_teardown);
	const int row_count = ARRAY_SIZE(rows);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, payload_has_a_wrong_size, 0, row_count);
	tcase_add_loop_test(tc, descriptors_too_many_or_too_few, 0, row_count);
	tcase_add_loop_test(tc, vring_does_not_exist, 0, row_count);
	tcase_add_loop_test(tc, replies_come_once, 0, row_count - 1);
	tcase_add_test(tc, nothing_is_acknowledged_without_reply_ack);
	tcase_add_test(tc, refusal_without_need_reply_ends_the_connection);
	tcase_add_loop_test(tc, front_end_does_not_read_replies, 0, 2);
	tcase_add_test(tc, unknown_message);
	tcase_add_loop_test(tc, not_a_message, 0, 3);
	tcase_add_test(tc, connection_ends_within_a_message);
	tcase_add_test(tc, message_byte_by_byte);
	tcase_add_test(tc, features);
	tcase_add_test(tc, protocol_features);
	tcase_add_test(tc, numbers_and_status);
	tcase_add_test(tc, backend_socket_is_kept);
	tcase_add_test(tc, front_end_without_config_is_told_once);
	tcase_add_test(tc, front_end_is_told_again_when_rings_start);
	tcase_add_test(tc, config_space_is_read);
	tcase_add_loop_test(tc, range_of_the_config_space, 0, ARRAY_SIZE(ranges));
	tcase_add_test(tc, write_cache_is_switched);
	tcase_add_test(tc, write_cache_without_the_feature);
	tcase_add_test(tc, front_end_is_known);
	tcase_add_loop_test(tc, connections_in_a_loop, 0, 2);
	tcase_add_test(tc, connection_is_accepted_later);
	tcase_add_test(tc, second_front_end_waits_for_the_first);
	tcase_add_test(tc, close_of_a_descriptor_blocks);
	tcase_add_test(tc, connections_leave_nothing_behind);
	tcase_add_test(tc, many_messages_in_a_row);
	tcase_add_loop_test(tc, device_is_closed_without_a_front_end, 0, 2);
	tcase_add_loop_test(tc, device_is_closed_under_io, 0, 2);
	tcase_add_loop_test(tc, device_is_closed_with_a_message_pending, 0, 3);
	tcase_add_loop_test(tc, device_is_closed_while_a_front_end_leaves, 0, 2);
	tcase_add_test(tc, device_is_closed_with_unread_messages);
	return suite_run(s);
}
