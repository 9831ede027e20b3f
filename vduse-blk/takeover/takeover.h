/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover protocol: a new server replaces a running one while disks are in use, disk by disk.
 *
 * The new server connects to the control socket of the old server and keeps the connection. This
 * connection is the session. An old server has at most one session. Packets are text.
 * A packet consists of lines, and each line is one message:
 *
 *     new   take-over		CONTROL_TAKE_OVER begins the session. The request has the names of all
 *				disks of the new server, the response those of all disks of the old one
 *     new   connections		"released" may have descriptors: TAKEOVER_FDS of the connection
 *				of a front end, which continues in the new server
 *     new   release NAME	the new server is ready to adopt the disk
 *     old   released NAME	the old server has closed the disk's device and store, or the disk has
 *				ended since the session began
 *     old   busy NAME		the old server cannot release the disk yet; the new server retries
 *     new   serving NAME	the new server has adopted the disk, and received what its front end has
 *				said to the old server; or the disk has ended there
 *     new   complete		the new server serves all disks but those whose store stalls
 *
 * The session has the disks that the old server had when the session began, and no others.
 *
 * The old server releases a disk when its requests in flight have completed. No other disk waits
 * for these requests. Until "complete" the old server can take every disk back, and does so when the
 * connection is closed. The connections of front ends go back with the disks: until "complete" the new
 * server receives nothing from them. After "complete" the old server forgets each disk that the new
 * server serves, and ends after the last one. If the connection is closed before, it takes back the
 * disks that it has not forgotten.
 *
 * Servers of version 0.1.0 have no session: leave.h.
 */
#ifndef VDUSE_BLK_TAKEOVER_H
#define VDUSE_BLK_TAKEOVER_H

#include <stdbool.h>

#include "compiler.h"
#include "control/control_request.h"
#include "frontend/device.h"

#define TAKEOVER_CONNECTIONS "connections"
#define TAKEOVER_RELEASE     "release"
#define TAKEOVER_RELEASED    "released"
#define TAKEOVER_BUSY	     "busy"
#define TAKEOVER_SERVING     "serving"
#define TAKEOVER_COMPLETE    "complete"

#define TAKEOVER_WORD_MAX 16
#define TAKEOVER_FDS	  DEVICE_CONNECTION_FDS /* no more than CONTROL_FDS_MAX */

struct takeover_line {
	char word[TAKEOVER_WORD_MAX];
	char name[CONTROL_NAME_MAX]; /* empty: none */
};

/** takeover_next() - take the first line of *@text. Return: false: there is none left */
bool takeover_next(const char **text, struct takeover_line *line);

#endif
