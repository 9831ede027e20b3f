/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the queues of one disk share. The front end fills it in; it is zeroed before. */
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
	/* Constant while there are queues. */
	const char *name; /* for log lines */
	struct transport *transport;
	struct backend *backend;
	const struct blk_limits *limits;
	struct inflight *inflight;
	struct ring *main_ring; /* where the completion of a command is reported */
	uint32_t poll_us;	/* as in struct device_config */
	uint32_t retry_s;	/* on_error */
	bool iopoll;
	bool pin_guest_memory;
	bool recover_blind; /* rescue: adopt rings without an inflight log too */

	/*
	 * Set by any thread of the store, cleared at a reset: writes were lost, so no flush and no
	 * durable write may succeed.
	 */
	bool flush_failed;
	struct store_health health;
};

#endif
