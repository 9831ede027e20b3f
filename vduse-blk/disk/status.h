/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state and the counters of a disk, for people and as JSON. */
#ifndef VDUSE_BLK_STATUS_H
#define VDUSE_BLK_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include "disk.h"

/** status_list() - one line: NAME NODE DRIVER STATE BYTES PATH; 0 bytes before the store is open */
void status_list(const struct disk *disk, FILE *to);

/** status_stats() - a line for the device, and a table with a row for each queue; main thread */
void status_stats(const struct disk *disk, FILE *to);

/** status_json() - everything of status_list() and status_stats(), as one JSON object */
void status_json(const struct disk *disk, FILE *to);

#endif
