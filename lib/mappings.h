/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many mappings of driver memory a device may hold.
 *
 * A process has at most vm.max_map_count mappings (65530 by default), for the memory regions of all
 * drivers, for stacks, rings and buffers. The number of regions is under the control of the virtual
 * machine. Without a limit, a few virtual machines could use up all mappings, and then the server
 * could add no disk and start no thread.
 *
 * A quarter of the mappings is reserved for the process. Of the other three quarters, a device may
 * hold as many as are free after it: the first device half of them, the next one half of the rest,
 * and so on. Every device may hold a 4096th of all mappings, even from the reserved quarter: 256
 * devices take a sixteenth of all at most.
 *
 * Any thread. One struct mappings is used by one thread at a time.
 */
#ifndef LIB_MAPPINGS_H
#define LIB_MAPPINGS_H

#include "compiler.h"

/* The mappings of one device. Zeroed is ready. */
struct mappings {
	unsigned int held;
};

/** mappings_reserve() - count one more mapping. Return: 0; -ENOSPC: the device has its share */
int __must_check mappings_reserve(struct mappings *mappings);

/** mappings_forget() - the device holds one mapping less; the process has it until mappings_release() */
static inline void mappings_forget(struct mappings *mappings)
{
	mappings->held--;
}

/** mappings_release() - the process has one mapping less. Any thread */
void mappings_release(void);

/** mappings_total() - the number that all devices hold */
unsigned int mappings_total(void);

/** mappings_limit() - vm.max_map_count as it is now. Reads a file of /proc */
unsigned int mappings_limit(void);

/* Where mappings_limit() finds it; unit tests put another file here. */
extern const char *mappings_limit_path;

#endif
