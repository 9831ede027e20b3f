/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of a device in tests/lib/fake_kern.h: its memory, its queues, its requests. */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include "fake_kern.h"
#include "fuzz.h"

#define DRIVER_QUEUES_MAX 3u

struct driver {
	struct fake_dev *kern;
	uint16_t queue_size;
	uint16_t avail_idx[DRIVER_QUEUES_MAX];
};

/** driver_map() - map a region, one of a few, unless something is there; new memory, zeroes */
void driver_map(struct driver *driver, uint8_t which);

/** driver_write() - into one region; outside of them it is lost */
void driver_write(struct driver *driver, uint64_t iova, const void *from, size_t len);

/** driver_program() - queue @index where it usually lies, ready, of its full size */
void driver_program(struct driver *driver, uint32_t index);

/** driver_program_oddly() - any part of it as @in says */
void driver_program_oddly(struct driver *driver, uint32_t index, struct input *in);

/** driver_request() - make one request available: type, sector and pieces are of @in */
void driver_request(struct driver *driver, uint32_t index, struct input *in);

/** driver_scribble() - some bytes anywhere in the window of the regions */
void driver_scribble(struct driver *driver, struct input *in);

#endif
