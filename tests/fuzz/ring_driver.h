/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver's steps in fuzz_virtq: what it writes, and where it had better not. */
#ifndef TESTS_FUZZ_RING_DRIVER_H
#define TESTS_FUZZ_RING_DRIVER_H

#include "driver_ring.h"
#include "memory.h"
#include "virtq.h"

struct ring_driver {
	struct memory *memory;
	struct driver_ring ring;
};

/* 0: any bytes; 1: a descriptor; 2: one of an indirect table; 3: a head made available. */
#define RING_DRIVER_STEPS 4

/** ring_driver_init() - the next avail entry is number @avail_idx */
void ring_driver_init(struct ring_driver *driver, struct memory *memory,
		      const struct virtq_layout *layout, uint16_t avail_idx);

/** ring_driver_step() - one of the above; @in says the rest */
void ring_driver_step(struct ring_driver *driver, uint8_t step, struct input *in);

#endif
