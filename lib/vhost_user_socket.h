/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection to a front end: messages and their descriptors. Never blocks. Used by one thread.
 *
 * The front end may be hostile. A message is returned when all of it has arrived; its size is limited,
 * and so is the number of its descriptors.
 */
#ifndef LIB_VHOST_USER_SOCKET_H
#define LIB_VHOST_USER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "vhost_user.h"

struct vhost_user_message {
	struct vhost_user_header header;
	union vhost_user_payload payload; /* zeroed behind header.size */
	int fds[VHOST_USER_FDS_ROOM];	  /* owned by the message; -1: taken */
	unsigned int fd_count;
};

struct vhost_user_socket {
	int fd;
	size_t got; /* bytes of @message that have arrived */
	struct vhost_user_message message;
};

/** vhost_user_socket_init() - @fd: a connected stream socket, owned by @socket; made non-blocking */
void vhost_user_socket_init(struct vhost_user_socket *socket, int fd);
void vhost_user_socket_exit(struct vhost_user_socket *socket);

/**
 * vhost_user_receive() - receive the next message
 * @why: out, on -EPROTO: an error text whose subject is the front end
 *
 * The message is @socket->message, until the next call, which closes the descriptors that were not taken.
 *
 * Return: 1: a message; 0: no message yet; -ECONNRESET: the front end has closed the connection;
 * -EPROTO: no valid message; other -errno. After an error the connection cannot be used any more
 */
int __must_check vhost_user_receive(struct vhost_user_socket *socket, const char **why);

/**
 * vhost_user_take_all() - take all descriptors that are not taken yet
 * @fds: out: VHOST_USER_FDS_ROOM entries
 *
 * For a caller that must not close them itself: close() may block for ever (closer.h). Otherwise the next
 * vhost_user_receive() closes them. Return: their number
 */
unsigned int vhost_user_take_all(struct vhost_user_message *message, int *fds);

/** vhost_user_is_whole() - has all of the message arrived? */
bool vhost_user_is_whole(const struct vhost_user_socket *socket);

/** vhost_user_take_fd() - descriptor @i of a message; the caller owns it now */
int vhost_user_take_fd(struct vhost_user_message *message, unsigned int i);

/**
 * vhost_user_reply() - send the reply to @socket->message
 * @size: bytes of @payload
 * @fd:   sent with the reply; -1: none. The caller closes it
 *
 * Return: 0; -EAGAIN: the front end does not read its socket; other -errno
 */
int __must_check vhost_user_reply(struct vhost_user_socket *socket, const void *payload,
				  uint32_t size, int fd);

/** vhost_user_send() - send a message of the back end on @fd, a socket. Return: as vhost_user_reply() */
int __must_check vhost_user_send(int fd, uint32_t request, uint32_t flags, const void *payload,
				 uint32_t size);

/** vhost_user_request_name() - "SET_MEM_TABLE", ...; "?" */
const char *vhost_user_request_name(uint32_t request);

#endif
