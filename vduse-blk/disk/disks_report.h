/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Responses to control requests that read the state of disks (control/control_request.h). */
#ifndef VDUSE_BLK_DISKS_REPORT_H
#define VDUSE_BLK_DISKS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control/control_request.h"
#include "disks.h"

/**
 * disks_report() - write the response to @request to @to
 *
 * Return: false: the request is of another kind, and @to is unchanged
 */
bool disks_report(const struct disks *disks, const struct control_request *request, FILE *to);

#endif
