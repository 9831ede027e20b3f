/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool: a fixed number of items of one size.
 *
 * pool_get() prefers items that were used before. So only as many items take memory as were in use
 * at the same time. One thread at a time.
 */
#ifndef LIB_POOL_H
#define LIB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

struct pool {
	uint8_t *items; /* NULL: not mapped yet */
	size_t size;	/* of an item, bytes */
	uint32_t count;
	uint32_t touched; /* so many items, from the first on, have been used */
	void *free;	  /* free items that were used before, linked through their first bytes */
};

/**
 * pool_init() - @count items of @size bytes, at least a pointer's and a multiple of its alignment
 *
 * Maps no memory yet.
 */
static inline void pool_init(struct pool *pool, uint32_t count, size_t size)
{
	*pool = (struct pool){ .count = count, .size = size };
}

/** pool_map() - map the memory now, not in the first pool_get(). Return: 0; -ENOMEM */
int __must_check pool_map(struct pool *pool);

/** pool_exit() - free the memory; no item may be in use */
void pool_exit(struct pool *pool);

/** pool_has() - is an item free? */
static inline bool pool_has(const struct pool *pool)
{
	return pool->free || pool->touched < pool->count;
}

/**
 * pool_get() - take an item; its contents are undefined
 *
 * Makes a system call only if the pool is not mapped. Return: NULL: no item is free, or no memory
 */
void *pool_get(struct pool *pool);

/** pool_put() - give back what pool_get() returned */
static inline void pool_put(struct pool *pool, void *item)
{
	*(void **)item = pool->free;
	pool->free = item;
}

#endif
