/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new server in the place of a running one, under disks that are in use, disk by disk.
 *
 * The new server connects to the control socket of the old one and keeps the connection: that is the
 * session. A server has one session at most. The packets are text, and each line of one is for itself:
 *
 *     new   take-over, and the names of all its disks	   a question; the answer has the names of
 *							   those that the old server has
 *     new   release NAME	the new server is ready for the disk
 *     old   released NAME	the old server has closed the disk's device and store
 *     old   busy NAME		it cannot yet; the new server asks again
 *     new   serving NAME	the new server has adopted the disk
 *     new   complete		all disks but those whose store stalls are served by the new server
 *
 * A disk is released when its requests in flight have ended, and no other disk waits for it. Until
 * "complete" the old server can take everything back, and does so when the connection is closed. After
 * "complete" it forgets each disk that the new server serves, and ends with the last one.
 *
 * Servers of version 0.1.0 know no session: asked to leave, they release all disks and end.
 */
#ifndef VDUSE_BLK_TAKEOVER_H
#define VDUSE_BLK_TAKEOVER_H

#include <stdbool.h>

#include "compiler.h"

#define TAKEOVER_BEGIN "take-over\n"

/* The questions of version 0.1.0, each with names behind it, one a line; and an answer. */
#define TAKEOVER_ASK	 "may-leave\n"
#define TAKEOVER_LEAVE	 "leave\n"
#define TAKEOVER_LEAVING "leaving"

#define TAKEOVER_RELEASE  "release"
#define TAKEOVER_RELEASED "released"
#define TAKEOVER_BUSY	  "busy"
#define TAKEOVER_SERVING  "serving"
#define TAKEOVER_COMPLETE "complete"

/** takeover_names() - is @name one of the lines of @names? */
bool takeover_names(const char *names, const char *name);

#define TAKEOVER_WORD_MAX 16
#define TAKEOVER_NAME_MAX 256

struct takeover_line {
	char word[TAKEOVER_WORD_MAX];
	char name[TAKEOVER_NAME_MAX]; /* empty: none */
};

/** takeover_next() - take the first line of *@text. Return: false: there is none left */
bool takeover_next(const char **text, struct takeover_line *line);

#endif
