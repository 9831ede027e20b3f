/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Space for the pieces of large requests: beyond what a request slot holds by itself.
 *
 * A fixed number of buffers for all queues of a worker, and one for each queue that no other queue
 * can take: a disk whose store is slow may hold all shared ones. A queue that finds none waits until
 * one is given back. The worker's thread only.
 */
#ifndef VDUSE_BLK_IOV_POOL_H
#define VDUSE_BLK_IOV_POOL_H

#include <stdbool.h>
#include <sys/uio.h>

#include "compiler.h"
#include "list.h"
#include "pool.h"
#include "virtio_blk.h"
#include "virtq.h"

union iov_buffer {
	struct iovec iov[VIRTQ_MAX_IOV];
	struct blk_range ranges[BLK_MAX_RANGES];
};

/* A worker's. */
struct iov_pool {
	struct pool shared;
	struct list waiting; /* of struct iov_share */
};

/* A queue's. */
struct iov_share {
	union iov_buffer *own;
	bool own_taken;
	struct list_node waiting; /* in a pool, or in no list */

	/** @available: a buffer was given back, after iov_pool_has() returned false */
	void (*available)(struct iov_share *share);
};

/** iov_pool_init() - a system call; the memory is used up as it is needed. Return: 0; -ENOMEM */
int __must_check iov_pool_init(struct iov_pool *pool);
void iov_pool_exit(struct iov_pool *pool);

/** iov_share_init() - any thread; @share is zeroed but for @available. Return: 0; -ENOMEM */
int __must_check iov_share_init(struct iov_share *share);

/** iov_share_exit() - any thread; no buffer is out, and none is waited for */
void iov_share_exit(struct iov_share *share);

/** iov_pool_has() - is there a buffer for @share? If not, @share->available is called later */
bool iov_pool_has(struct iov_pool *pool, struct iov_share *share);

/** iov_pool_get() - take a buffer; only after iov_pool_has() returned true */
union iov_buffer *iov_pool_get(struct iov_pool *pool, struct iov_share *share);

/** iov_pool_put() - give back what iov_pool_get() returned for @share */
void iov_pool_put(struct iov_pool *pool, struct iov_share *share, union iov_buffer *buffer);

/** iov_share_waits() - was no buffer left for @share, and has none been given back since? */
static inline bool iov_share_waits(const struct iov_share *share)
{
	return list_has(&share->waiting);
}

#endif
