/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many mappings of driver memory a device may hold.
 *
 * A process has at most vm.max_map_count mappings (65530 by default), for the memory regions of all
 * drivers, for stacks, rings and buffers. A virtual machine decides how many regions it has: some
 * of them could use all mappings up, and then no other disk, and no thread, could be added.
 *
 * A quarter of the mappings is the process's own. Of the rest a device may hold as many as are
 * free: the first half of all, the next half of what that leaves, and so on. A 4096th each may
 * always hold, at the cost of that quarter: 256 devices take a sixteenth of all at most.
 *
 * Any thread. One struct mappings is used by one thread at a time.
 */
#ifndef LIB_MAPPINGS_H
#define LIB_MAPPINGS_H

#include "compiler.h"

/* Of one device. Zeroed: none. */
struct mappings {
	unsigned int held;
};

/** mappings_take() - one more. Return: 0; -ENOSPC: the device has its share */
int __must_check mappings_take(struct mappings *mappings);

/** mappings_give() - one less */
void mappings_give(struct mappings *mappings);

/** mappings_total() - held by all devices */
unsigned int mappings_total(void);

/** mappings_limit() - vm.max_map_count as it is now. Reads a file of /proc */
unsigned int mappings_limit(void);

/* Where mappings_limit() finds it; unit tests put another file here. */
extern const char *mappings_limit_path;

#endif
