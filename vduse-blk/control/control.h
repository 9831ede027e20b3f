/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server's side of the control protocol: a socket in runtime_dir (control_socket.h).
 *
 * A client sends one packet with a request (control_request.h), and gets one packet with the response: the
 * word "ok" or "error", and the descriptor of a memory file with the text. The server may defer the
 * response; it cancels the request if the client closes the connection first. After the response the
 * server closes the connection, unless the request began a session: in a session both sides send packets
 * of text until one side closes the connection. Only root can enter the directory, so only root can send
 * requests.
 *
 * Main thread. Nothing here blocks, whatever clients do. The server disconnects a client that has
 * sent no request for CONTROL_IDLE_MS. It defers at most CONTROL_DEFERRED_MAX responses at a time. When
 * CONTROL_CLIENTS_MAX clients are connected and another one connects, the server disconnects the
 * client that has been idle for the longest time.
 */
#ifndef VDUSE_BLK_CONTROL_H
#define VDUSE_BLK_CONTROL_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control_socket.h"
#include "ring.h"

#define CONTROL_REQUEST_MAX  65536 /* bytes; the names of 1024 devices fit into it */
#define CONTROL_CLIENTS_MAX  16u
#define CONTROL_DEFERRED_MAX 8u
#define CONTROL_IDLE_MS	     10000u

struct control_client;

/* A request that has no response yet. control.c owns it. */
struct control_call {
	const char *text; /* the request; valid until control->requested returns */
	FILE *to;	  /* the text of the response */
};

/* A deferred response. It is a member of the object that will send the response. */
struct control_deferred {
	/** @cancelled: the client or control_stop() has closed the connection: @call is invalid */
	void (*cancelled)(struct control_deferred *deferred);
	struct control_call *call; /* control.c owns it; NULL: no response is deferred */
};

struct control {
	struct ring *ring;
	int fd; /* listens */
	char path[CONTROL_PATH_MAX];
	struct ring_poll accepts;
	struct control_client *clients; /* newest first */
	unsigned int open;		/* clients that are connected */
	unsigned int deferred;		/* responses that are deferred */
	struct ring_timer idle;		/* runs while there are clients */
	unsigned int idle_ms;		/* 0: CONTROL_IDLE_MS; tests set less */
	bool stopping;
	bool closed; /* @fd is closed */
	void (*stopped)(struct control *control);

	/*
	 * Set by the caller. Called for each request. It calls control_respond(), or control_defer(), or
	 * control_session() and then control_respond().
	 */
	void (*requested)(struct control *control, struct control_call *call);
};

/* A session. Both functions may call control_session_end(). */
struct control_session {
	/* The client sent a packet; @text ends with a null byte. */
	void (*received)(struct control_session *session, const char *text);
	/* The client or control_stop() has closed the connection. @session may be used again. */
	void (*ended)(struct control_session *session);

	struct control_client *client; /* control.c owns it; NULL: the session has ended */
	struct control_peer peer; /* valid until @ended returns, or until control_session_end() */
};

/**
 * control_start() - listen in @directory
 *
 * Removes the sockets of servers that were killed. The caller has zeroed @control and set
 * @control->requested. Return: 0; -errno, logged
 */
int __must_check control_start(struct control *control, struct ring *ring, const char *directory);

/**
 * control_stop() - disconnect all clients, and stop listening
 *
 * @stopped is called when the ring does not use @control any more. No client can delay that.
 */
void control_stop(struct control *control, void (*stopped)(struct control *control));

/** control_respond() - send the text in @call->to. @call is invalid afterwards */
void control_respond(struct control_call *call, bool ok);

/**
 * control_defer() - defer the response. Call it from @requested only
 *
 * Return: 0: @deferred->call is valid until control_respond() or @deferred->cancelled is called; -EBUSY:
 * too many responses are deferred
 */
int __must_check control_defer(struct control_call *call, struct control_deferred *deferred);

/** control_session() - keep the client connected after the response. Call it from @requested only */
void control_session(struct control_call *call, struct control_session *session);

/** control_session_send() - send @text. Return: 0; -ENOTCONN: ended; -EAGAIN: not now */
int __must_check control_session_send(struct control_session *session, const char *text);

/** control_session_send_fds() - likewise, with @count descriptors, which the caller closes */
int __must_check control_session_send_fds(struct control_session *session, const char *text,
					  const int *fds, unsigned int count);

/** control_session_end() - disconnect; no function of @session is called any more */
void control_session_end(struct control_session *session);

#endif
