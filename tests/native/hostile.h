/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Front ends that break the rules of vhost-user, at one disk of a server, while a good front end does
 * verified I/O on another disk of it. After each case the attacked disk serves a good front end, and
 * the server has as many descriptors and mappings as before.
 */
#ifndef TESTS_NATIVE_HOSTILE_H
#define TESTS_NATIVE_HOSTILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "load.h"
#include "session.h"

/* How far a front end got before it misbehaves. */
enum stage { CONNECTED, GREETED, RUNNING, STAGES };

/* Descriptors of all kinds, for messages that want others. */
enum fd_kind {
	FD_MEMORY,    /* a memfd of FD_BYTES */
	FD_READ_ONLY, /* the same, opened for reading */
	FD_SEALED,    /* a memfd that cannot be written */
	FD_EVENT,
	FD_EVENT_FULL, /* blocks who writes it */
	FD_EVENT_SEMAPHORE,
	FD_PIPE_READ,  /* empty */
	FD_PIPE_WRITE, /* full; blocks who writes it */
	FD_SOCKET,
	FD_DIRECTORY,
	FD_ZERO,
	FD_EPOLL,
	FD_PATH, /* O_PATH */
	FD_KINDS
};

#define FD_BYTES (64u << 20)

struct bench {
	const char *victim; /* socket of the disk that is attacked */
	pid_t server;
	int fds[FD_KINDS];
};

struct hostile_case {
	const char *name;
	void (*run)(struct bench *b);
};

/* Tables; each ends with a row without a name. */
extern const struct hostile_case message_cases[];
extern const struct hostile_case memory_cases[];
extern const struct hostile_case ring_cases[];
extern const struct hostile_case socket_cases[];

/** hostile_open() - a good front end at the victim, as far as @stage. No one else is connected */
void hostile_open(struct session *s, const struct bench *b, enum stage stage);

/** hostile_end() - say nothing more, and wait until the server has closed the connection */
void hostile_end(struct session *s);

/** hostile_do() - wait for what the server makes of a message: it takes, refuses or closes, in time */
void hostile_do(int err);

/** hostile_kick() - requests as of a good driver; they may or may not come back */
void hostile_kick(struct session *s);

/** check_victim() - a good front end at the victim, with verified I/O */
void check_victim(const struct bench *b);

#endif
