/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes and memory-ordering helpers that the whole project shares. */
#ifndef LIB_COMPILER_H
#define LIB_COMPILER_H

#include <stddef.h>

#define __must_check	    __attribute__((warn_unused_result))
#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))

#define __cold __attribute__((cold, noinline)) /* keeps the fast path short */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

/*
 * The only barriers in the project. Each use has a comment that names the step on the other side
 * which it pairs with.
 */
#define load_acquire(p)	    __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define load_relaxed(p)	    __atomic_load_n(p, __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define full_barrier()	    __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* After a copy to @p of memory that others may change: forbids to read the source again. */
#define copied_to(p) __asm__ volatile("" : : "r"(p) : "memory")

#endif
