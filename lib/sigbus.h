/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Driver memory that goes away under us.
 *
 * The memory of a virtual machine is a file. Its owner can truncate it while we have it mapped, and
 * a page of it can have a memory error that the hardware reports (BUS_MCEERR_AR). Touching such
 * memory raises SIGBUS. In a guarded thread, and in a range that was announced as a driver's, the
 * page is replaced by zeroes, so that the thread goes on.
 *
 * The zeroes are in the mapping of the whole process from then on. So whoever has read driver
 * memory asks before what was read has an effect: sigbus_is_lost(). The readers are virtq.c
 * (rings), iotlb_read() (indirect tables), virtio_blk.c (headers, ranges) and transfer.c (data to
 * be written, where they are copied). What is written there needs no such question: the driver
 * cannot read that page either.
 *
 * Everywhere else SIGBUS ends the process as ever: memory of our own must not read as zeroes.
 */
#ifndef LIB_SIGBUS_H
#define LIB_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"

enum sigbus_state { SIGBUS_FATAL, SIGBUS_GUARDED, SIGBUS_SEEN };

extern __thread volatile enum sigbus_state sigbus_state;

/* How many ranges have a page that was replaced. */
extern unsigned int sigbus_lost_ranges;

/* How many ranges there may be; unit tests make it less. */
extern unsigned int sigbus_ranges_max;

/** sigbus_guard_install() - for the whole process, once. Return: 0; -errno */
int __must_check sigbus_guard_install(void);

/** sigbus_guard_thread() - from now on this thread survives */
static inline void sigbus_guard_thread(void)
{
	sigbus_state = SIGBUS_GUARDED;
}

/**
 * sigbus_guard_range() - @len bytes from @addr on are a mapping of a driver's memory
 *
 * Any thread. Return: 0; -ENOSPC: too many of them
 */
int __must_check sigbus_guard_range(void *addr, size_t len);

/**
 * sigbus_unguard_range() - of the range at @addr, before it is unmapped; nobody uses it any more
 */
void sigbus_unguard_range(void *addr);

/** sigbus_pending() - was it, without an effect on the answer of sigbus_seen()? */
static inline bool sigbus_pending(void)
{
	return unlikely(sigbus_state == SIGBUS_SEEN);
}

/**
 * sigbus_seen() - was memory gone since the last time this thread asked?
 *
 * Ask after every piece of work on one driver's memory, so that the answer is about that one.
 */
static inline bool sigbus_seen(void)
{
	if (likely(sigbus_state != SIGBUS_SEEN))
		return false;
	sigbus_state = SIGBUS_GUARDED;
	return true;
}

/**
 * sigbus_any_lost() - is any memory lost that is still mapped? After a look at memory, one load
 *
 * Pairs with the handler, which counts before it replaces the page: who has read the zeroes sees
 * that.
 */
static inline bool sigbus_any_lost(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return unlikely(load_relaxed(&sigbus_lost_ranges));
}

/** sigbus_is_lost_slow() - the rest of sigbus_is_lost() */
bool __cold sigbus_is_lost_slow(const void *addr, size_t len);

/**
 * sigbus_is_lost() - are some of these bytes, just read, zeroes in the place of lost memory?
 *
 * Also where sigbus_pending(): what else this thread has read since it last asked is not told
 * apart.
 */
static inline bool sigbus_is_lost(const void *addr, size_t len)
{
	return sigbus_any_lost() && (sigbus_pending() || sigbus_is_lost_slow(addr, len));
}

#endif
