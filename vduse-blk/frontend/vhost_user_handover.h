/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to a front end, and what the front end has said on it: a takeover passes both to the next
 * server, so that the front end need not connect again. Main thread.
 */
#ifndef VDUSE_BLK_VHOST_USER_HANDOVER_H
#define VDUSE_BLK_VHOST_USER_HANDOVER_H

#include <stdbool.h>

#include "compiler.h"
#include "device.h"
#include "ring.h"
#include "vhost_user_transcript.h"

struct vhost_user_device;

struct vhost_user_handover {
	struct ring *ring;
	int connection; /* -1: not taken from its device yet */
	struct vhost_user_transcript transcript;
	unsigned int senders; /* tasks that send the transcript */
	bool dropped;	      /* the last sender frees this */
};

/**
 * vhost_user_handover_new() - take the connection and its descriptors from @vu
 *
 * All queues are stopped, and the memory of the guest is still mapped. Return: NULL: no memory: the
 * connection can only be closed
 */
struct vhost_user_handover *vhost_user_handover_new(struct vhost_user_device *vu);

/**
 * vhost_user_handover_open() - the descriptors for the next server
 * @fds: out: the connection, which @handover keeps; the transcript, which the caller closes
 *
 * A task sends the transcript, each time. Return: 0; -errno
 */
int __must_check vhost_user_handover_open(struct vhost_user_handover *handover,
					  int fds[DEVICE_CONNECTION_FDS]);

/** vhost_user_handover_drop() - close everything in a task, and free it */
void vhost_user_handover_drop(struct vhost_user_handover *handover);

#endif
