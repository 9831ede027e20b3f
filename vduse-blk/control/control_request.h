/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of the control protocol (control.h), and responses that programs read. Main thread and clients.
 *
 * A request is one packet of text: a word, or a word and names of disks, one on each line. A server
 * refuses a word that it does not know with CONTROL_UNKNOWN. Then a client of a later version can send a
 * request of an earlier version.
 */
#ifndef VDUSE_BLK_CONTROL_REQUEST_H
#define VDUSE_BLK_CONTROL_REQUEST_H

#include <stdbool.h>

#include "compiler.h"

enum control_verb {
	CONTROL_NONE,	   /* an unknown request */
	CONTROL_LIST,	   /* response: a line for each disk, for people */
	CONTROL_STATS,	   /* response: counters, for people */
	CONTROL_JSON,	   /* response: all of both, for programs */
	CONTROL_OWNER,	   /* NAME; response: enum control_owner */
	CONTROL_RESIZE,	   /* NAME; response: the new size, for people; empty: no such disk */
	CONTROL_TAKE_OVER, /* NAMES; response: names; then a session (takeover/takeover.h) */
	CONTROL_MAY_LEAVE, /* NAMES; response: empty. Of version 0.1.0 (takeover/leave.h) */
	CONTROL_LEAVE,	   /* NAMES; response: CONTROL_LEAVING or empty. Of version 0.1.0 */
};

struct control_request {
	enum control_verb verb;
	const char *names; /* a part of the text that was parsed; empty: none */
};

/* The error response to a request that the server does not know. Part of the protocol. */
#define CONTROL_UNKNOWN "it does not understand the question"

#define CONTROL_LEAVING "leaving"

/** control_request_parse() - Return: false: it is unknown, and @out->verb is CONTROL_NONE */
bool control_request_parse(const char *text, struct control_request *out);

/** control_request_print() - Return: the text, which the caller frees; NULL: no memory */
char *control_request_print(enum control_verb verb, const char *names);

/* Does a server have the device of a disk? */
enum control_owner {
	CONTROL_OWNER_NONE, /* no: it does not know the disk, or has not opened it */
	CONTROL_OWNER_HAS, /* yes, but not for long: it detaches the disk, or may fail to attach it */
	CONTROL_OWNER_KEEPS, /* yes: it serves the disk */
};

/** control_owner_name() - the word of the response */
const char *control_owner_name(enum control_owner owner);

/** control_owner_parse() - Return: what @word means; CONTROL_OWNER_HAS: a word of a later version */
enum control_owner control_owner_parse(const char *word);

#define CONTROL_NAME_MAX 256 /* of a disk, with the null byte */

/** control_next_name() - take the first line of *@names. Return: false: there is none left */
bool control_next_name(const char **names, char name[CONTROL_NAME_MAX]);

/** control_names_has() - is @name one of the lines of @names? */
bool control_names_has(const char *names, const char *name);

#endif
