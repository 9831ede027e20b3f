/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking running servers through their control sockets. Never from a thread that serves. */
#ifndef VDUSE_BLK_CONTROL_ASK_H
#define VDUSE_BLK_CONTROL_ASK_H

#include <stdbool.h>

#include "compiler.h"
#include "control_socket.h"

struct control_answer {
	const struct control_peer *from; /* valid during the call */
	bool error;			 /* the server refused, or did not understand */
	const char *text;
	int *connection; /* does not block; @take may keep it, and sets this to -1 */
};

/* What servers answer, with an error, to questions of later versions. */
#define CONTROL_UNKNOWN "it does not understand the question"

/**
 * control_ask() - ask every server that listens in @directory
 * @take: called for each answer
 *
 * All servers are asked at a time, and all together have five seconds: one that is stopped does not
 * answer, is named in the log and is passed over. Return: how many answered; -errno: the directory
 * cannot be read, logged
 */
int __must_check control_ask(const char *directory, const char *question,
			     void (*take)(const struct control_answer *answer, void *ctx),
			     void *ctx);

#endif
