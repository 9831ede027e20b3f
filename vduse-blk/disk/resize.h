/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verb "resize": the store of a disk has grown, and its driver is to see that. Main thread.
 *
 * Only a front end that can tell its driver has disks that can be resized: vhost-user.
 */
#ifndef VDUSE_BLK_RESIZE_H
#define VDUSE_BLK_RESIZE_H

#include "control/control.h"
#include "control/control_request.h"
#include "disks.h"

/**
 * resize_requested() - examine the store in a task, then change the size; respond to @call, now or later
 *
 * The response is empty if this server has no disk of that name.
 */
void resize_requested(struct disks *disks, const struct control_request *request,
		      struct control_call *call);

#endif
