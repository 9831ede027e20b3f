/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O vector pool: buffers for the iovecs and ranges of requests that do not fit into a slot.
 *
 * All queues of a worker share a fixed number of buffers. Each queue has one more buffer of its
 * own, since a disk with a slow store may use all shared ones. A queue without a free buffer waits
 * until one is put back. Used by the worker's thread only.
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

/* The part of a worker. */
struct iov_pool {
	struct pool shared;
	struct list waiting; /* of struct iov_share */
};

/* The part of a queue. */
struct iov_share {
	union iov_buffer *own;
	bool own_taken;
	struct list_node waiting; /* in a pool, or in no list */

	/** @available: after iov_pool_has() returned false: a buffer was put back */
	void (*available)(struct iov_share *share);
};

/** iov_pool_init() - maps memory, which becomes resident when it is used. Return: 0; -ENOMEM */
int __must_check iov_pool_init(struct iov_pool *pool);
void iov_pool_exit(struct iov_pool *pool);

/** iov_share_init() - any thread; @share: zeroed, except for @available. Return: 0; -ENOMEM */
int __must_check iov_share_init(struct iov_share *share);

/** iov_share_exit() - any thread; the queue uses no buffer, and waits for none */
void iov_share_exit(struct iov_share *share);

/** iov_pool_has() - is a buffer free for @share? If not, @share->available is called later */
bool iov_pool_has(struct iov_pool *pool, struct iov_share *share);

/** iov_pool_get() - take a buffer; only after iov_pool_has() returned true */
union iov_buffer *iov_pool_get(struct iov_pool *pool, struct iov_share *share);

/** iov_pool_put() - put a buffer back that iov_pool_get() returned for @share */
void iov_pool_put(struct iov_pool *pool, struct iov_share *share, union iov_buffer *buffer);

/** iov_share_waits() - does @share wait for a buffer (iov_pool_has() returned false)? */
static inline bool iov_share_waits(const struct iov_share *share)
{
	return list_has(&share->waiting);
}

#endif
