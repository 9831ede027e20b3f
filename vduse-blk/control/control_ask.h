/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client side of the control protocol (control.h). Blocks: no thread that serves calls it. */
#ifndef VDUSE_BLK_CONTROL_ASK_H
#define VDUSE_BLK_CONTROL_ASK_H

#include <stdbool.h>

#include "compiler.h"
#include "control_socket.h"

struct control_answer {
	const struct control_peer *from; /* valid during the call */
	bool error;			 /* the server refused, or does not know the request */
	const char *text;
	int *connection; /* does not block; to keep it, @take sets this to -1 */
};

/* The text of the error response to requests that a server does not know, as of later versions. */
#define CONTROL_UNKNOWN "it does not understand the question"

/* How long control_ask() waits for responses: 5. A test that must not depend on a busy machine sets more. */
extern unsigned int control_ask_seconds;

/**
 * control_ask() - send a request to every server that listens in @directory
 * @take: called for each response
 *
 * Sends to all servers at once, then waits for control_ask_seconds at most. A server that does not
 * respond, as one whose process is stopped, is named in the log and passed over. Return: how many
 * responses came; -errno: the directory cannot be read, logged
 */
int __must_check control_ask(const char *directory, const char *question,
			     void (*take)(const struct control_answer *answer, void *ctx),
			     void *ctx);

#endif
