/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's memory: a window of IOVA space, in one region or cut into several.
 *
 * Every region is an allocation of exactly its size, and moves when it is dropped from the IOTLB,
 * so the address sanitizer sees each byte too far and each pointer that was kept too long.
 */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

#include <stdbool.h>

#include "fuzz.h"
#include "iotlb.h"

#define MEMORY_SIZE	   0x10000u
#define MEMORY_LOW	   0x10000ull
#define MEMORY_HIGH	   (UINT64_MAX - MEMORY_SIZE + 1) /* its end is the end of everything */
#define MEMORY_REGIONS_MAX 12u

struct memory_region {
	struct iotlb_region map;
	uint8_t *allocation; /* map.addr may lie some bytes into it */
	bool filled;
};

struct memory {
	uint64_t base; /* MEMORY_LOW or MEMORY_HIGH */
	struct memory_region regions[MEMORY_REGIONS_MAX];
	unsigned int count;
};

/* Their context is the struct memory. */
extern const struct iotlb_ops memory_iotlb_ops;

/**
 * memory_init() - all of it zeroes
 * @rings: 0, or where in the window the rings end: each of these is the end of a region
 * @cut:   regions, holes, permissions of what follows come from @in
 */
void memory_init(struct memory *memory, const uint32_t rings[3], struct input *in, bool cut);

/** memory_exit() - everything must be out of the IOTLB again */
void memory_exit(struct memory *memory);

/** memory_write() - the driver's own access, which ignores permissions; into holes it is lost */
void memory_write(struct memory *memory, uint64_t iova, const void *from, size_t len);

/** memory_read() - what a device may read. Return: false where it may not, or not all of it */
bool memory_read(const struct memory *memory, uint64_t iova, void *to, size_t len);

/** memory_holds() - does one region that is mapped with @prot contain these bytes? */
bool memory_holds(const struct memory *memory, const void *addr, size_t len, int prot);

#endif
