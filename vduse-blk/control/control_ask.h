/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client side of the control protocol (control.h). Blocks: no thread that serves calls it. */
#ifndef VDUSE_BLK_CONTROL_ASK_H
#define VDUSE_BLK_CONTROL_ASK_H

#include <stdbool.h>

#include "compiler.h"
#include "control_request.h"
#include "control_socket.h"

struct control_answer {
	const struct control_peer *from; /* valid during the call */
	bool error;			 /* the server refused, or does not know the request */
	bool unknown; /* @error: it does not know it; it is of an earlier version */
	const char *text;
	int *connection; /* does not block; to keep it, @take sets this to -1 */
};

/* How long control_ask() waits for responses: 5. A test that must not depend on a busy machine sets more. */
extern unsigned int control_ask_seconds;

/**
 * control_ask() - send a request to every server that listens in @directory
 * @names: of the request (control_request.h); "": none
 * @take:  called for each response
 *
 * Sends to all servers at once, then waits for control_ask_seconds at most. A server that does not
 * respond, as one whose process is stopped, is named in the log and passed over. Return: how many
 * responses came; -errno: the directory cannot be read, logged; -ENOMEM
 */
int __must_check control_ask(const char *directory, enum control_verb verb, const char *names,
			     void (*take)(const struct control_answer *answer, void *ctx),
			     void *ctx);

/** control_ask_text() - as control_ask(), for any text; tests use it */
int __must_check control_ask_text(const char *directory, const char *question,
				  void (*take)(const struct control_answer *answer, void *ctx),
				  void *ctx);

#endif
