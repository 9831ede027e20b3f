// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <errno.h>

#include "pages.h"

int pool_map(struct pool *pool)
{
	if (!pool->items)
		pool->items = pages_alloc(pool->count * pool->size);
	return pool->items ? 0 : -ENOMEM;
}

void pool_exit(struct pool *pool)
{
	pages_free(pool->items, pool->count * pool->size);
	pool_init(pool, pool->count, pool->size);
}

void *pool_get(struct pool *pool)
{
	void *item = pool->free;

	if (likely(item != NULL)) {
		pool->free = *(void **)item;
		return item;
	}
	if (pool->touched == pool->count || pool_map(pool))
		return NULL;
	return pool->items + pool->size * pool->touched++;
}
