// SPDX-License-Identifier: GPL-2.0-or-later
#include "iov_pool.h"

#include <errno.h>

#include "pages.h"

/* The number of large requests in flight on one worker. 128 KiB in pieces of 4 KiB is one. */
#define SHARED_BUFFERS 256

int iov_pool_init(struct iov_pool *pool)
{
	list_init(&pool->waiting);
	pool_init(&pool->shared, SHARED_BUFFERS, sizeof(union iov_buffer));
	return pool_map(&pool->shared);
}

void iov_pool_exit(struct iov_pool *pool)
{
	pool_exit(&pool->shared);
}

int iov_share_init(struct iov_share *share)
{
	share->own = pages_alloc(sizeof(*share->own));
	return share->own ? 0 : -ENOMEM;
}

void iov_share_exit(struct iov_share *share)
{
	pages_free(share->own, sizeof(*share->own));
}

bool iov_pool_has(struct iov_pool *pool, struct iov_share *share)
{
	if (likely(pool_has(&pool->shared) || !share->own_taken))
		return true;
	if (!list_has(&share->waiting))
		list_add(&pool->waiting, &share->waiting);
	return false;
}

union iov_buffer *iov_pool_get(struct iov_pool *pool, struct iov_share *share)
{
	if (likely(pool_has(&pool->shared)))
		return pool_get(&pool->shared);
	share->own_taken = true;
	return share->own;
}

void iov_pool_put(struct iov_pool *pool, struct iov_share *share, union iov_buffer *buffer)
{
	struct list_node *node;

	if (unlikely(buffer == share->own))
		share->own_taken = false;
	else
		pool_put(&pool->shared, buffer);
	/* Wake all queues: the first one may not need a buffer any more, and so puts none back. */
	while ((node = list_take(&pool->waiting))) {
		struct iov_share *waiting = container_of(node, struct iov_share, waiting);

		waiting->available(waiting);
	}
}
