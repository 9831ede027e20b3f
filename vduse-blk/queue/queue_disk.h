/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The members that all queues of a disk use. The front end zeroes the struct and fills it in. */
#ifndef VDUSE_BLK_QUEUE_DISK_H
#define VDUSE_BLK_QUEUE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "inflight.h"
#include "ring.h"
#include "store/backend.h"
#include "store/store_health.h"
#include "transport.h"
#include "virtio_blk.h"

struct queue_disk {
	/* Constant while queues exist. */
	const char *name; /* for log lines */
	struct transport *transport;
	struct backend *backend;
	const struct blk_limits *limits;
	struct inflight *inflight;
	struct ring *main_ring; /* of the main thread, for completions of commands */
	uint32_t poll_us;	/* as in struct device_config */
	uint32_t retry_s;	/* on_error */
	bool iopoll;
	bool pin_guest_memory;
	bool recover_blind; /* rescue: adopt rings without an inflight log too */

	bool writethrough; /* the driver has switched the write cache off: every write is durable */

	/*
	 * Writes were lost: no flush and no durable write may succeed. Any thread of the store sets
	 * it, and a reset clears it.
	 */
	bool flush_failed;
	struct store_health health;
};

#endif
