/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of a migration: a bit for each page that the back end has written. Each request is
 * checked when it comes back: its status byte, what it read and the used ring must be marked by then.
 *
 * The front end collects bits while the rings run, as a migration does. Pages of a request in flight
 * belong to it alone, so their bits are cleared before it is offered.
 */
#ifndef TESTS_NATIVE_DIRTY_LOG_H
#define TESTS_NATIVE_DIRTY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

#define DIRTY_USED_BYTES 0x4000u /* pages of a queue that have its used ring, and nothing else */

struct dirty_log {
	int fd;
	uint64_t bytes;	    /* of the log */
	uint8_t *shared;    /* what the back end writes */
	uint8_t *collected; /* what was taken from there */
	/* The destination's copy of the used rings, which nobody but the back end writes. */
	uint8_t used[QUEUES_MAX][DIRTY_USED_BYTES];
	uint64_t checked; /* pages that were looked at */
	uint64_t forget;  /* after so many checks one bit is thrown away; 0: never */
};

void dirty_log_init(struct dirty_log *log);
void dirty_log_exit(struct dirty_log *log);

/** dirty_log_start() - the messages with which QEMU begins to log, while the rings run */
void dirty_log_start(struct dirty_log *log, struct session *s);

/** dirty_log_stop() - and those with which it ends */
void dirty_log_stop(struct session *s);

/** dirty_log_clear() - forget the bits of the pages that this request will have written */
void dirty_log_clear(struct dirty_log *log, const struct vug_slot *slot);

/** dirty_log_check() - a request has come back: fails where a page that it wrote is not marked */
void dirty_log_check(struct dirty_log *log, const struct vug_queue *q, const struct vug_slot *slot);

/** dirty_log_collect() - take all bits and copy the used rings, as one pass of a migration does */
void dirty_log_collect(struct dirty_log *log, const struct session *s);

/**
 * dirty_log_compare() - the rings are stopped, the last pass is made: the copy has all of them
 * @event: also avail_event, which libvhost-user does not mark
 */
void dirty_log_compare(const struct dirty_log *log, const struct session *s, bool event);

/** dirty_log_count() - how many pages are marked, and forget all of them */
uint64_t dirty_log_count(struct dirty_log *log, const struct session *s);

#endif
