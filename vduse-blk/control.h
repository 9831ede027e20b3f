/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a running server is asked things: a socket of its own in runtime_dir (control_socket.h).
 *
 * A client sends one packet with the question, and gets one packet with the answer: its first word
 * is "ok" or "error", and the text is an unlinked memory file. Then the server closes the
 * connection, unless the question began a session, in which both sides send packets of text until
 * one closes. Only root can enter the directory, so only root may ask.
 *
 * Main thread; nothing here blocks, whatever clients do or leave undone. A client that asks nothing
 * is disconnected after CONTROL_IDLE_MS; where CONTROL_CLIENTS_MAX are connected, the one that has
 * been idle for the longest time makes room for the next.
 */
#ifndef VDUSE_BLK_CONTROL_H
#define VDUSE_BLK_CONTROL_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control_socket.h"
#include "ring.h"

#define CONTROL_QUESTION_MAX 65536 /* bytes; the names of 1024 devices fit into it */
#define CONTROL_CLIENTS_MAX  16u
#define CONTROL_IDLE_MS	     10000u

struct control_client;

struct control {
	struct ring *ring;
	int fd; /* listens */
	char path[CONTROL_PATH_MAX];
	struct ring_poll accepts;
	struct control_client *clients; /* newest first */
	unsigned int open;		/* clients that are connected */
	struct ring_timer idle;		/* runs while there are clients */
	unsigned int idle_ms;		/* CONTROL_IDLE_MS; tests have less patience */
	bool stopping;
	bool closed; /* the socket is */
	void (*stopped)(struct control *control);

	/* Set by the caller. Writes the answer; false: it is an error. */
	bool (*answer)(struct control *control, const char *question, FILE *to);
	/*
	 * Set by the caller, or NULL. Asked first: writes the answer where the question is one
	 * that begins a session, and may call control_session() for @client. Return: was it one?
	 * *@ok: as of @answer
	 */
	bool (*begin)(struct control *control, struct control_client *client, const char *question,
		      FILE *to, bool *ok);
};

/* What becomes of a session. Both functions may call control_session_end(). */
struct control_session {
	/* The client sent a packet; @text ends with a null byte. */
	void (*said)(struct control_session *session, const char *text);
	/* The client has closed the connection, or control_stop() has. @session is free again. */
	void (*gone)(struct control_session *session);

	struct control_client *client; /* control.c's; NULL: the session has ended */
	struct control_peer peer; /* who; valid until @gone returns, or control_session_end() */
};

/**
 * control_start() - listen in @directory
 *
 * Removes the sockets of servers that were killed. @control is zeroed by the caller but for what is
 * marked above. Return: 0; -errno, logged
 */
int __must_check control_start(struct control *control, struct ring *ring, const char *directory);

/**
 * control_stop() - disconnect all clients, and listen no more
 *
 * @stopped is called when the ring does not use @control any more, which no client can delay.
 */
void control_stop(struct control *control, void (*stopped)(struct control *control));

/** control_session() - keep @client connected after the answer. Only from @begin */
void control_session(struct control_client *client, struct control_session *session);

/** control_session_say() - send one packet of text. -ENOTCONN: ended; -EAGAIN: it does not read */
int __must_check control_session_say(struct control_session *session, const char *text);

/** control_session_end() - disconnect; no function of @session is called any more */
void control_session_end(struct control_session *session);

#endif
