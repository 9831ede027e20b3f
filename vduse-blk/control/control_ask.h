/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client side of the control protocol (control.h). Blocks: a serving thread must not call it. */
#ifndef VDUSE_BLK_CONTROL_ASK_H
#define VDUSE_BLK_CONTROL_ASK_H

#include <stdbool.h>

#include "compiler.h"
#include "control_request.h"
#include "control_socket.h"

struct control_response {
	const struct control_peer *from; /* valid during the call */
	bool error;			 /* the server refused the request, or does not know it */
	bool unknown; /* @error: the server does not know the request: its version is earlier */
	const char *text;
	int *connection; /* non-blocking; @take may keep it, and then sets this to -1 */
};

/* How long control_ask() waits for responses: 5. Tests set more, for a machine under load. */
extern unsigned int control_ask_seconds;

/**
 * control_ask() - send a request to every server that listens in @directory
 * @names: of the request (control_request.h); "": none
 * @take:  called for each response
 *
 * Sends to all servers at once, then waits for control_ask_seconds at most. Logs the name of each server
 * that does not respond, for example because its process is stopped. Return: the number of
 * responses; -errno: the directory cannot be read, logged; -ENOMEM
 */
int __must_check control_ask(const char *directory, enum control_verb verb, const char *names,
			     void (*take)(const struct control_response *response, void *ctx),
			     void *ctx);

/** control_ask_text() - as control_ask(), for any text; tests use it */
int __must_check control_ask_text(const char *directory, const char *question,
				  void (*take)(const struct control_response *response, void *ctx),
				  void *ctx);

#endif
