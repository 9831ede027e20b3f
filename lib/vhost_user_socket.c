// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passed_fds.h"

#define HEADER sizeof(struct vhost_user_header)

static const char *const names[VHOST_USER_REQUESTS] = {
	[VHOST_USER_TRANSCRIPT_END] = "TRANSCRIPT_END",
	[VHOST_USER_GET_FEATURES] = "GET_FEATURES",
	[VHOST_USER_SET_FEATURES] = "SET_FEATURES",
	[VHOST_USER_SET_OWNER] = "SET_OWNER",
	[VHOST_USER_RESET_OWNER] = "RESET_OWNER",
	[VHOST_USER_SET_MEM_TABLE] = "SET_MEM_TABLE",
	[VHOST_USER_SET_LOG_BASE] = "SET_LOG_BASE",
	[VHOST_USER_SET_LOG_FD] = "SET_LOG_FD",
	[VHOST_USER_SET_VRING_NUM] = "SET_VRING_NUM",
	[VHOST_USER_SET_VRING_ADDR] = "SET_VRING_ADDR",
	[VHOST_USER_SET_VRING_BASE] = "SET_VRING_BASE",
	[VHOST_USER_GET_VRING_BASE] = "GET_VRING_BASE",
	[VHOST_USER_SET_VRING_KICK] = "SET_VRING_KICK",
	[VHOST_USER_SET_VRING_CALL] = "SET_VRING_CALL",
	[VHOST_USER_SET_VRING_ERR] = "SET_VRING_ERR",
	[VHOST_USER_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[VHOST_USER_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[VHOST_USER_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[VHOST_USER_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[VHOST_USER_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[VHOST_USER_GET_CONFIG] = "GET_CONFIG",
	[VHOST_USER_SET_CONFIG] = "SET_CONFIG",
	[VHOST_USER_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
	[VHOST_USER_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
	[VHOST_USER_RESET_DEVICE] = "RESET_DEVICE",
	[VHOST_USER_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
	[VHOST_USER_ADD_MEM_REG] = "ADD_MEM_REG",
	[VHOST_USER_REM_MEM_REG] = "REM_MEM_REG",
	[VHOST_USER_SET_STATUS] = "SET_STATUS",
	[VHOST_USER_GET_STATUS] = "GET_STATUS",
	[VHOST_USER_SET_DEVICE_STATE_FD] = "SET_DEVICE_STATE_FD",
	[VHOST_USER_CHECK_DEVICE_STATE] = "CHECK_DEVICE_STATE",
};

const char *vhost_user_request_name(uint32_t request)
{
	return request < VHOST_USER_REQUESTS && names[request] ? names[request] : "?";
}

void vhost_user_socket_init(struct vhost_user_socket *socket, int fd)
{
	*socket = (struct vhost_user_socket){ .fd = fd };
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void message_drop(struct vhost_user_message *message)
{
	for (unsigned int i = 0; i < message->fd_count; i++)
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	memset(message, 0, sizeof(*message));
}

void vhost_user_socket_exit(struct vhost_user_socket *socket)
{
	message_drop(&socket->message);
	close(socket->fd);
	socket->fd = -1;
}

int vhost_user_take_fd(struct vhost_user_message *message, unsigned int i)
{
	int fd = message->fds[i];

	message->fds[i] = -1;
	return fd;
}

unsigned int vhost_user_take_all(struct vhost_user_message *message, int *fds)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < message->fd_count; i++)
		if (message->fds[i] >= 0)
			fds[count++] = vhost_user_take_fd(message, i);
	return count;
}

/* Return: true; false: more descriptors than a message may have. All are owned by the message */
static bool take_descriptors(struct vhost_user_message *message, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(message->fds + message->fd_count, CMSG_DATA(c), count * sizeof(int));
		message->fd_count += (unsigned int)count;
	}
	return !(msg->msg_flags & MSG_CTRUNC) && message->fd_count <= VHOST_USER_FDS_MAX;
}

/* Return: bytes; 0: none yet; -ECONNRESET; -EPROTO: too many descriptors; other -errno */
static ssize_t receive_some(struct vhost_user_socket *socket, void *to, size_t size)
{
	union {
		/* The most that the kernel passes: what did not fit would be closed by this thread. */
		char bytes[CMSG_SPACE(sizeof(int) * (VHOST_USER_FDS_ROOM - VHOST_USER_FDS_MAX))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = to, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got = recvmsg(socket->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!take_descriptors(&socket->message, &msg))
		return -EPROTO;
	return got ? got : -ECONNRESET;
}

static const char *check_header(const struct vhost_user_header *header)
{
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return "it sent a message of another version of the protocol";
	if (header->flags & VHOST_USER_REPLY)
		return "it sent a reply, and this process has sent no request";
	if (header->size > sizeof(union vhost_user_payload))
		return "it sent a message that is too long";
	return NULL;
}

bool vhost_user_is_whole(const struct vhost_user_socket *socket)
{
	return socket->got >= HEADER && socket->got == HEADER + socket->message.header.size;
}

int vhost_user_receive(struct vhost_user_socket *socket, const char **why)
{
	struct vhost_user_message *message = &socket->message;
	size_t whole;
	ssize_t got;

	*why = "it sent too many descriptors with one message, or this process has none left (ulimit -n)";
	if (vhost_user_is_whole(socket)) {
		message_drop(message); /* the caller has handled it */
		socket->got = 0;
	}
	while (socket->got < HEADER) {
		got = receive_some(socket, (uint8_t *)&message->header + socket->got,
				   HEADER - socket->got);
		if (got <= 0)
			return (int)got;
		socket->got += (size_t)got;
	}
	*why = check_header(&message->header);
	if (*why)
		return -EPROTO;
	*why = "it sent too many descriptors with one message, or this process has none left (ulimit -n)";
	whole = HEADER + message->header.size;
	while (socket->got < whole) {
		got = receive_some(socket, (uint8_t *)&message->payload + socket->got - HEADER,
				   whole - socket->got);
		if (got <= 0)
			return (int)got;
		socket->got += (size_t)got;
	}
	return 1;
}

static int send_message(int fd, const struct vhost_user_header *header, const void *payload,
			int passed_fd)
{
	const struct iovec iov[2] = {
		{ .iov_base = (void *)header, .iov_len = HEADER },
		{ .iov_base = (void *)payload, .iov_len = header->size },
	};
	ssize_t sent = passed_fds_send(fd, iov, 2, &passed_fd, passed_fd >= 0, MSG_DONTWAIT);

	if (sent < 0)
		return (int)sent;
	/* A part of a message: the front end does not read its socket. */
	return (size_t)sent == HEADER + header->size ? 0 : -EAGAIN;
}

/* Descriptors that the front end does not receive stay open in the socket, for as long as it likes. */
static bool has_unread_reply(const struct vhost_user_socket *socket)
{
	int bytes = 0;

	return !ioctl(socket->fd, SIOCOUTQ, &bytes) && bytes;
}

int vhost_user_reply(struct vhost_user_socket *socket, const void *payload, uint32_t size, int fd)
{
	struct vhost_user_header header = {
		.request = socket->message.header.request,
		.flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
		.size = size,
	};

	if (fd >= 0 && has_unread_reply(socket))
		return -EAGAIN;
	return send_message(socket->fd, &header, payload, fd);
}

int vhost_user_send(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
	struct vhost_user_header header = {
		.request = request,
		.flags = VHOST_USER_VERSION | flags,
		.size = size,
	};

	return send_message(fd, &header, payload, -1);
}
