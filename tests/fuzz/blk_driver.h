/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of a device in tests/lib/fake_kern.h: its memory, its queues, its requests. */
#ifndef TESTS_FUZZ_BLK_DRIVER_H
#define TESTS_FUZZ_BLK_DRIVER_H

#include "driver_ring.h"
#include "fake_kern.h"
#include "fuzz.h"

#define BLK_DRIVER_QUEUES_MAX 3u

struct blk_driver {
	struct fake_dev *kern;
	uint16_t queue_size;
	struct driver_ring rings[BLK_DRIVER_QUEUES_MAX]; /* where they usually lie */
};

/** blk_driver_init() - its queues have @queue_size descriptors; the caller sets @kern */
void blk_driver_init(struct blk_driver *driver, uint16_t queue_size);

/** blk_driver_map() - map a region, one of a few, unless something is there; new memory, zeroes */
void blk_driver_map(struct blk_driver *driver, uint8_t which);

/** blk_driver_write() - into one region; outside of them it is lost */
void blk_driver_write(struct blk_driver *driver, uint64_t iova, const void *from, size_t len);

/** blk_driver_program() - queue @index where it usually lies, ready, of its full size */
void blk_driver_program(struct blk_driver *driver, uint32_t index);

/** blk_driver_program_oddly() - any part of it as @in says */
void blk_driver_program_oddly(struct blk_driver *driver, uint32_t index, struct input *in);

/** blk_driver_request() - make one request available: type, sector and pieces are of @in */
void blk_driver_request(struct blk_driver *driver, uint32_t index, struct input *in);

/** blk_driver_scribble() - some bytes anywhere in the window of the regions */
void blk_driver_scribble(struct blk_driver *driver, struct input *in);

#endif
