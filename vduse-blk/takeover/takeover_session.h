/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The new server's end of a session with an old server (takeover.h): a connection, and its messages. Main
 * thread; nothing here blocks.
 */
#ifndef VDUSE_BLK_TAKEOVER_SESSION_H
#define VDUSE_BLK_TAKEOVER_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"
#include "control/control_socket.h"
#include "ring.h"
#include "takeover.h"

struct takeover_session {
	/* Set by the caller. */
	int fd;	   /* of the connection; -1: the session has ended */
	pid_t pid; /* of the old server */
	/** @received: a message has come; it may call takeover_session_end() */
	void (*received)(struct takeover_session *session, const struct takeover_line *line);
	/** @ended: the old server has closed the connection, or its process has ended */
	void (*ended)(struct takeover_session *session);

	struct ring_poll poll;
	int fds[CONTROL_FDS_MAX]; /* of the packet of the message; @received takes them; -1: none */
};

/** takeover_session_start() - read messages; @received and @ended may be called from now on */
void takeover_session_start(struct takeover_session *session, struct ring *ring);

/**
 * takeover_session_send() - send a message
 * @name: of a disk; NULL: none
 *
 * Return: 0; -EAGAIN: not now; other -errno: the session has ended
 */
int __must_check takeover_session_send(struct takeover_session *session, const char *word,
				       const char *name);

/** takeover_session_end() - close the connection; @received and @ended are not called any more */
void takeover_session_end(struct takeover_session *session);

/** takeover_session_exit() - as takeover_session_end(), if the ring is not run any more */
void takeover_session_exit(struct takeover_session *session);

#endif
