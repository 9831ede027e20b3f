/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The takeover of version 0.1.0, which has no session: after CONTROL_LEAVE a server leaves all its
 * disks in the kernel and ends. Main thread.
 */
#ifndef VDUSE_BLK_LEAVE_H
#define VDUSE_BLK_LEAVE_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "disk/disks.h"

/**
 * leave_respond() - write the response to CONTROL_MAY_LEAVE or CONTROL_LEAVE to @to
 * @names: the disks of the new server, one on each line
 * @now:   leave; false: only check whether this server may leave
 *
 * Return: true: @to is CONTROL_LEAVING; or empty, if @now is false or this server has none of the disks;
 * false: @to has the reason for the refusal
 */
bool leave_respond(struct disks *disks, const char *names, bool now, FILE *to);

#endif
