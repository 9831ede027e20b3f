/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store of zeroes whose operations end when they are told to, and how.
 *
 * It judges what it is given: inside the disk, whole blocks, and memory that is there from the
 * beginning of an operation to its end.
 */
#ifndef TESTS_FUZZ_SLOW_STORE_H
#define TESTS_FUZZ_SLOW_STORE_H

#include "store/backend.h"

#define SLOW_STORE_SIZE	 (1u << 20)
#define SLOW_STORE_BLOCK 512u

struct slow_store {
	struct backend backend;
	struct backend_io *pending[64];
	unsigned int count;
};

/** slow_store_init() - empty; queues together must not have more than 64 descriptors */
void slow_store_init(struct slow_store *store);

/** slow_store_complete() - end one operation, the @nth as far as there are so many, well or not */
void slow_store_complete(struct slow_store *store, unsigned int nth, bool good);

/** slow_store_complete_all() - end what is pending, and early what may end so */
void slow_store_complete_all(struct slow_store *store);

#endif
