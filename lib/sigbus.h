/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Survives SIGBUS in memory of a driver.
 *
 * The memory of a virtual machine is a file. Its owner can truncate the file while it is mapped,
 * and the hardware can report a memory error in a page (BUS_MCEERR_AR). Then an access raises
 * SIGBUS. If the thread is guarded, and the address is in a range that was registered as driver
 * memory, the handler replaces the page by zeroes, and the thread continues.
 *
 * From then on all threads of the process read zeroes there. So code that has read driver memory
 * calls sigbus_is_lost() before the data has an effect. The readers are virtq.c (rings),
 * iotlb_read() (indirect tables), virtio_blk.c (headers, ranges) and file_rw.c (data that it copies
 * to a staging buffer). Code that writes driver memory need not call it: the driver cannot read a
 * lost page either.
 *
 * In all other memory SIGBUS ends the process: memory of this process must not read as zeroes.
 */
#ifndef LIB_SIGBUS_H
#define LIB_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "compiler.h"

enum sigbus_state { SIGBUS_FATAL, SIGBUS_GUARDED, SIGBUS_SEEN };

extern __thread volatile enum sigbus_state sigbus_state;

/* The number of ranges with a replaced page. */
extern unsigned int sigbus_lost_ranges;

/* The largest number of ranges; unit tests reduce it. */
extern unsigned int sigbus_ranges_max;

/** sigbus_guard_install() - install the handler, once per process. Return: 0; -errno */
int __must_check sigbus_guard_install(void);

/** sigbus_guard_thread() - from now on the calling thread survives SIGBUS in registered ranges */
static inline void sigbus_guard_thread(void)
{
	sigbus_state = SIGBUS_GUARDED;
}

/**
 * sigbus_guard_range() - register @len bytes from @addr on as a mapping of driver memory
 *
 * Any thread. Return: 0; -ENOSPC: there are sigbus_ranges_max of them
 */
int __must_check sigbus_guard_range(void *addr, size_t len);

/**
 * sigbus_unguard_range() - remove the range that contains @addr
 *
 * Call it before munmap(), when no thread uses the range any more. Return: the range
 */
struct iovec sigbus_unguard_range(void *addr);

/** sigbus_pending() - the result that sigbus_seen() would return, without resetting it */
static inline bool sigbus_pending(void)
{
	return unlikely(sigbus_state == SIGBUS_SEEN);
}

/**
 * sigbus_seen() - has this thread survived a SIGBUS since its last call?
 *
 * Call it after every piece of work on the memory of one driver, so that the result is about that
 * driver.
 */
static inline bool sigbus_seen(void)
{
	if (likely(sigbus_state != SIGBUS_SEEN))
		return false;
	sigbus_state = SIGBUS_GUARDED;
	return true;
}

/**
 * sigbus_any_lost() - is any registered memory lost? Call it after a read of that memory. One load
 *
 * Pairs with the handler, which increments the counter before it replaces the page: a thread that
 * has read the zeroes sees the new value.
 */
static inline bool sigbus_any_lost(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return unlikely(load_relaxed(&sigbus_lost_ranges));
}

/** sigbus_is_lost_slow() - the rest of sigbus_is_lost() */
bool __cold sigbus_is_lost_slow(const void *addr, size_t len);

/**
 * sigbus_is_lost() - are some of these bytes, which were just read, zeroes of a replaced page?
 *
 * Returns true also where sigbus_pending(): then the lost page may be elsewhere in what this thread
 * has read since its last sigbus_seen().
 */
static inline bool sigbus_is_lost(const void *addr, size_t len)
{
	return sigbus_any_lost() && (sigbus_pending() || sigbus_is_lost_slow(addr, len));
}

#endif
