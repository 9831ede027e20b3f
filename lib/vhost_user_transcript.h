/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that say again what a front end has said, for the next server of the same connection.
 *
 * The next server receives them on a stream socket, as if that were the connection, and checks them as it
 * checks all messages. None of them wants a reply. The last message is TRANSCRIPT_END. After it the stream
 * may have the beginning of a message, whose rest is in the connection.
 */
#ifndef LIB_VHOST_USER_TRANSCRIPT_H
#define LIB_VHOST_USER_TRANSCRIPT_H

#include "compiler.h"
#include "list.h"
#include "vhost_user_socket.h"

struct vhost_user_transcript {
	struct list messages;
};

/** vhost_user_transcript_init() - without messages */
void vhost_user_transcript_init(struct vhost_user_transcript *transcript);

/** vhost_user_transcript_exit() - free the messages; vhost_user_transcript_fds() has their descriptors */
void vhost_user_transcript_exit(struct vhost_user_transcript *transcript);

/**
 * vhost_user_transcript_add() - add a message at the end
 * @size: bytes of @payload
 * @fd:   owned by @transcript from here on; -1: none
 *
 * Return: 0; -ENOMEM: @fd is the caller's
 */
int __must_check vhost_user_transcript_add(struct vhost_user_transcript *transcript,
					   uint32_t request, const void *payload, uint32_t size,
					   int fd);

/**
 * vhost_user_transcript_end() - add TRANSCRIPT_END, and what has arrived of the next message
 *
 * The payload of TRANSCRIPT_END is the number of bytes that follow it. Return: 0; -ENOMEM
 */
int __must_check vhost_user_transcript_end(struct vhost_user_transcript *transcript,
					   struct vhost_user_socket *socket);

/**
 * vhost_user_transcript_send() - send all messages on @fd, a stream socket
 *
 * Blocks for SO_SNDTIMEO at most, and for ten seconds where memory or descriptors in flight are short. Keeps
 * the messages. Return: 0; -errno
 */
int __must_check vhost_user_transcript_send(const struct vhost_user_transcript *transcript, int fd);

/**
 * vhost_user_transcript_fds() - take all descriptors, for a caller that closes them
 * @fds: out; NULL: only count them
 *
 * Return: their number
 */
unsigned int vhost_user_transcript_fds(struct vhost_user_transcript *transcript, int *fds);

#endif
