/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a running server tells about its disks, for people and as JSON. */
#ifndef VDUSE_BLK_STATUS_H
#define VDUSE_BLK_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include "device.h"

/** status_list() - one line: NAME NODE DRIVER STATE BYTES PATH. @state: a word of the server's */
void status_list(const struct device *device, const char *node, const char *state, FILE *to);

/** status_stats() - a line for the device and one for each queue; main thread */
void status_stats(const struct device *device, const char *node, const char *state, FILE *to);

/** status_json() - all of both as one JSON object */
void status_json(const struct device *device, const char *node, const char *state, FILE *to);

#endif
