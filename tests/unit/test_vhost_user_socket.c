// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vhost_user_socket.c: whole messages from any pieces, and no descriptor that stays behind. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "suite.h"
#include "vhost_user_client.h"
#include "vhost_user_socket.h"

static struct vuc client;
static struct vhost_user_socket server;
static unsigned int fds_before;
static const char *why;

static void setup(void)
{
	int pair[2];

	fds_before = fds_open();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	client = (struct vuc){ .fd = pair[0], .deadline_ms = 10000, .backend_fd = -1 };
	vhost_user_socket_init(&server, pair[1]);
}

static void teardown(void)
{
	vhost_user_socket_exit(&server);
	ck_assert_int_eq(server.fd, -1);
	vuc_close(&client);
	ck_assert_uint_eq(fds_open(), fds_before);
}

static void send_u64(uint32_t request, uint64_t value, const int *fds, unsigned int count)
{
	ck_assert_int_eq(vuc_send(&client, request,
				  &(struct vuc_send){ .payload = &value,
						      .size = sizeof(value),
						      .fds = fds,
						      .fd_count = count }),
			 0);
}

static void send_bytes(const void *bytes, size_t size, const int *fds, unsigned int count)
{
	ck_assert_int_eq(vuc_send_bytes(&client, bytes, size, fds, count), 0);
}

static void expect_message(uint32_t request, uint32_t size, unsigned int fds)
{
	ck_assert_int_eq(vhost_user_receive(&server, &why), 1);
	ck_assert_uint_eq(server.message.header.request, request);
	ck_assert_uint_eq(server.message.header.size, size);
	ck_assert_uint_eq(server.message.fd_count, fds);
}

START_TEST(nothing_has_come)
{
	ck_assert_int_eq(vhost_user_receive(&server, &why), 0);
	ck_assert_int_eq(fcntl(server.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}
END_TEST

START_TEST(messages_one_after_the_other)
{
	send_u64(2, 0x1122334455667788, NULL, 0);
	ck_assert_int_eq(vuc_send(&client, 3, NULL), 0);
	ck_assert_int_eq(vuc_send(&client, 4, NULL), 0);
	send_u64(5, 7, NULL, 0);
	expect_message(2, 8, 0);
	ck_assert_uint_eq(server.message.payload.u64, 0x1122334455667788);
	expect_message(3, 0, 0);
	ck_assert_uint_eq(server.message.payload.u64, 0); /* nothing of the one before */
	expect_message(4, 0, 0);
	expect_message(5, 8, 0);
	ck_assert_uint_eq(server.message.payload.u64, 7);
	ck_assert_int_eq(vhost_user_receive(&server, &why), 0);
	ck_assert_int_eq(vhost_user_receive(&server, &why), 0);
}
END_TEST

/* With a descriptor at any byte of it. */
START_TEST(message_byte_by_byte)
{
	uint32_t message[] = { 13, VUC_VERSION, 8, 0x01020304, 0x05060708 };
	int fd = eventfd(0, EFD_CLOEXEC);

	for (size_t with = 0; with <= sizeof(message); with++) {
		for (size_t i = 0; i < sizeof(message); i++) {
			ck_assert_int_eq(vhost_user_receive(&server, &why), 0);
			send_bytes((uint8_t *)message + i, 1, &fd, i == with);
		}
		expect_message(13, 8, with < sizeof(message));
		ck_assert_uint_eq(server.message.payload.u64, 0x0506070801020304);
	}
	close(fd);
}
END_TEST

START_TEST(longest_message)
{
	uint8_t payload[sizeof(union vhost_user_payload)];

	memset(payload, 0x5a, sizeof(payload));
	ck_assert_int_eq(
		vuc_send(&client, 25,
			 &(struct vuc_send){ .payload = payload, .size = sizeof(payload) }),
		0);
	send_u64(2, 1, NULL, 0);
	expect_message(25, sizeof(payload), 0);
	ck_assert_mem_eq(&server.message.payload, payload, sizeof(payload));
	expect_message(2, 8, 0);
	for (size_t i = 8; i < sizeof(payload); i++)
		ck_assert_uint_eq(((uint8_t *)&server.message.payload)[i], 0);
}
END_TEST

/* clang-format off */
static const struct {
	uint32_t flags, size;
	const char *why; /* NULL: it is fine */
} headers[] = {
	{ VUC_VERSION, 0, NULL },
	{ VUC_VERSION | VUC_NEED_REPLY, 0, NULL },
	{ VUC_VERSION | 0xfffffff0, 0, NULL },
	{ 0, 0, "version" },
	{ 2, 0, "version" },
	{ 3, 0, "version" },
	{ VUC_VERSION | VUC_REPLY, 0, "reply" },
	{ VUC_VERSION, sizeof(union vhost_user_payload) + 1, "too long" },
	{ VUC_VERSION, UINT32_MAX, "too long" },
};
/* clang-format on */

START_TEST(header_is_checked)
{
	struct vuc_header header = { 1, headers[_i].flags, headers[_i].size };

	send_bytes(&header, sizeof(header), NULL, 0);
	if (!headers[_i].why) {
		expect_message(1, 0, 0);
		return;
	}
	ck_assert_int_eq(vhost_user_receive(&server, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, headers[_i].why));
}
END_TEST

START_TEST(connection_ends_between_and_within_messages)
{
	uint32_t message[] = { 2, VUC_VERSION, 8, 1, 2 };

	send_bytes(message, (size_t)_i, NULL, 0);
	vuc_close(&client);
	if (_i == sizeof(message))
		expect_message(2, 8, 0);
	ck_assert_int_eq(vhost_user_receive(&server, &why), -ECONNRESET);
}
END_TEST

START_TEST(other_error_is_passed_on)
{
	int pipe_fds[2];

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(dup2(pipe_fds[0], server.fd), server.fd);
	ck_assert_int_eq(vhost_user_receive(&server, &why), -ENOTSOCK);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

/* ---- descriptors ---- */

START_TEST(descriptors_are_closed_unless_taken)
{
	int fds[VHOST_USER_FDS_MAX], taken = -1;
	unsigned int before;

	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		fds[i] = eventfd(i + 1, EFD_CLOEXEC | EFD_NONBLOCK);
	before = fds_open();
	send_u64(5, 0, fds, VHOST_USER_FDS_MAX);
	expect_message(5, 8, VHOST_USER_FDS_MAX);
	ck_assert_uint_eq(fds_open(), before + VHOST_USER_FDS_MAX);
	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++) {
		eventfd_t value;

		ck_assert_int_eq(fcntl(server.message.fds[i], F_GETFD), FD_CLOEXEC);
		if (i == 3)
			taken = vhost_user_take_fd(&server.message, i);
		else
			ck_assert_int_eq(eventfd_read(server.message.fds[i], &value), 0);
	}
	ck_assert_int_eq(server.message.fds[3], -1);
	ck_assert_int_eq(vhost_user_receive(&server, &why), 0); /* drops the message */
	ck_assert_uint_eq(fds_open(), before + 1);
	ck_assert_int_eq(close(taken), 0);
	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		close(fds[i]);
}
END_TEST

/* In a message, a part of which comes later, or never. */
START_TEST(connection_ends_with_descriptors_in_a_partial_message)
{
	uint32_t message[] = { 13, VUC_VERSION, 8, 0, 0 };
	int fd = eventfd(0, EFD_CLOEXEC);

	send_bytes(message, (size_t)_i, &fd, 1);
	close(fd);
	ck_assert_int_eq(vhost_user_receive(&server, &why), _i == sizeof(message));
	ck_assert_uint_eq(server.message.fd_count, 1);
}
END_TEST

START_TEST(too_many_descriptors)
{
	int fds[VUC_FDS_MAX];
	unsigned int before;

	for (unsigned int i = 0; i < VUC_FDS_MAX; i++)
		fds[i] = server.fd;
	before = fds_open();
	send_u64(5, 0, fds, _i ? VUC_FDS_MAX : VHOST_USER_FDS_MAX + 1);
	ck_assert_int_eq(vhost_user_receive(&server, &why), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "too many descriptors"));
	ck_assert_uint_le(fds_open(), before + VHOST_USER_FDS_ROOM);
}
END_TEST

/* Eight with the header and one with the payload, or one with each byte. */
START_TEST(too_many_descriptors_in_pieces)
{
	uint32_t message[] = { 5, VUC_VERSION, 8, 0, 0 };
	unsigned int before = fds_open();
	int fds[VHOST_USER_FDS_MAX], got = 0;

	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		fds[i] = server.fd;
	if (_i) {
		send_bytes(message, sizeof(struct vuc_header), fds, VHOST_USER_FDS_MAX);
		ck_assert_int_eq(vhost_user_receive(&server, &why), 0);
		send_bytes(&message[3], 8, fds, 1);
		got = vhost_user_receive(&server, &why);
	}
	for (size_t i = 0; i < sizeof(message) && !got; i++) {
		send_bytes((uint8_t *)message + i, 1, fds, 1);
		got = vhost_user_receive(&server, &why);
		ck_assert_uint_le(fds_open(), before + VHOST_USER_FDS_ROOM);
	}
	ck_assert_int_eq(got, -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "too many descriptors"));
}
END_TEST

/* ---- what the back end sends ---- */

static void expect_reply(uint32_t request, const void *payload, uint32_t size, unsigned int fds)
{
	struct vuc_message reply;

	ck_assert_int_eq(vuc_receive(&client, &reply), 0);
	ck_assert_uint_eq(reply.header.request, request);
	ck_assert_uint_eq(reply.header.flags, VUC_VERSION | VUC_REPLY);
	ck_assert_uint_eq(reply.header.size, size);
	ck_assert_uint_eq(reply.fd_count, fds);
	ck_assert(!size || !memcmp(reply.bytes, payload, size));
	for (unsigned int i = 0; i < fds; i++)
		close(reply.fds[i]);
}

START_TEST(reply_is_to_the_message)
{
	const uint8_t payload[20] = "nineteen characters";
	int fd = eventfd(0, EFD_CLOEXEC);

	send_u64(31, 0, NULL, 0);
	expect_message(31, 8, 0);
	ck_assert_int_eq(vhost_user_reply(&server, payload, sizeof(payload), -1), 0);
	expect_reply(31, payload, sizeof(payload), 0);
	ck_assert_int_eq(vhost_user_reply(&server, payload, 3, fd), 0);
	expect_reply(31, payload, 3, 1);
	ck_assert_int_eq(vhost_user_reply(&server, NULL, 0, -1), 0);
	expect_reply(31, NULL, 0, 0);
	close(fd);
}
END_TEST

/* Descriptor 0 is one like any other. */
START_TEST(descriptor_zero_is_passed)
{
	int saved = dup(0), fd = eventfd(0, EFD_CLOEXEC);

	send_u64(31, 0, NULL, 0);
	expect_message(31, 8, 0);
	ck_assert_int_eq(dup2(fd, 0), 0);
	ck_assert_int_eq(vhost_user_reply(&server, "x", 1, 0), 0);
	dup2(saved, 0);
	expect_reply(31, "x", 1, 1);
	close(saved);
	close(fd);
}
END_TEST

START_TEST(nobody_reads_replies)
{
	uint8_t payload[4096] = { 0 };
	int err = 0;

	send_u64(24, 0, NULL, 0);
	expect_message(24, 8, 0);
	for (unsigned int i = 0; i < 100000 && !err; i++)
		err = vhost_user_reply(&server, payload, sizeof(payload), -1);
	ck_assert_int_eq(err, -EAGAIN);
}
END_TEST

START_TEST(front_end_has_gone)
{
	send_u64(1, 0, NULL, 0);
	expect_message(1, 8, 0);
	vuc_close(&client);
	ck_assert_int_eq(vhost_user_reply(&server, NULL, 0, -1), -EPIPE);
}
END_TEST

START_TEST(message_of_the_back_end)
{
	struct vuc_message message;

	ck_assert_int_eq(vhost_user_send(server.fd, 2, VHOST_USER_NEED_REPLY, "abc", 3), 0);
	ck_assert_int_eq(vuc_receive(&client, &message), 0);
	ck_assert_uint_eq(message.header.request, 2);
	ck_assert_uint_eq(message.header.flags, VUC_VERSION | VUC_NEED_REPLY);
	ck_assert_uint_eq(message.header.size, 3);
	ck_assert_mem_eq(message.bytes, "abc", 3);
}
END_TEST

START_TEST(names_of_requests)
{
	ck_assert_str_eq(vhost_user_request_name(20), "?");
	ck_assert_str_eq(vhost_user_request_name(1), "GET_FEATURES");
	ck_assert_str_eq(vhost_user_request_name(19), "?");
	ck_assert_str_eq(vhost_user_request_name(43), "CHECK_DEVICE_STATE");
	ck_assert_str_eq(vhost_user_request_name(44), "?");
	ck_assert_str_eq(vhost_user_request_name(UINT32_MAX), "?");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_socket");
	TCase *tc = suite_case(s, "vhost_user_socket", setup, teardown);

	tcase_add_test(tc, nothing_has_come);
	tcase_add_test(tc, messages_one_after_the_other);
	tcase_add_test(tc, message_byte_by_byte);
	tcase_add_test(tc, longest_message);
	tcase_add_loop_test(tc, header_is_checked, 0, ARRAY_SIZE(headers));
	tcase_add_loop_test(tc, connection_ends_between_and_within_messages, 0, 21);
	tcase_add_test(tc, other_error_is_passed_on);
	tcase_add_test(tc, descriptors_are_closed_unless_taken);
	tcase_add_loop_test(tc, connection_ends_with_descriptors_in_a_partial_message, 1, 21);
	tcase_add_loop_test(tc, too_many_descriptors, 0, 2);
	tcase_add_loop_test(tc, too_many_descriptors_in_pieces, 0, 2);
	tcase_add_test(tc, reply_is_to_the_message);
	tcase_add_test(tc, descriptor_zero_is_passed);
	tcase_add_test(tc, nobody_reads_replies);
	tcase_add_test(tc, front_end_has_gone);
	tcase_add_test(tc, message_of_the_back_end);
	tcase_add_test(tc, names_of_requests);
	return suite_run(s);
}
