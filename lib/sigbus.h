/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Driver memory that goes away under us.
 *
 * The memory of a virtual machine is a file; its owner can truncate it while we have it mapped, and
 * then touching it raises SIGBUS. In a guarded thread such a page is replaced by zeroes, so that
 * the thread goes on, and can ask afterwards whether it happened. In any other thread SIGBUS ends
 * the process as ever. Asking costs one load of a thread-local variable.
 */
#ifndef LIB_SIGBUS_H
#define LIB_SIGBUS_H

#include <stdbool.h>

#include "compiler.h"

enum sigbus_state { SIGBUS_FATAL, SIGBUS_GUARDED, SIGBUS_SEEN };

extern __thread volatile enum sigbus_state sigbus_state;

/** sigbus_guard_install() - for the whole process, once. Return: 0; -errno */
int __must_check sigbus_guard_install(void);

/** sigbus_guard_thread() - from now on this thread survives */
static inline void sigbus_guard_thread(void)
{
	sigbus_state = SIGBUS_GUARDED;
}

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

#endif
