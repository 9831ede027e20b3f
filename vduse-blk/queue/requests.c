// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory for the requests of a queue. */
#include <errno.h>
#include <linux/virtio_blk.h>

#include "pages.h"
#include "request.h"

static void share_available(struct iov_share *share)
{
	struct requests *requests = container_of(share, struct requests, iov_share);

	worker_schedule(requests->worker, requests->work);
}

int requests_init(struct requests *requests)
{
	const struct queue_disk *disk = requests->disk;

	list_init(&requests->flushes);
	list_init(&requests->retries);
	pool_init(&requests->staging_buffers, requests->slot_count, BACKEND_STAGING_SIZE);
	requests->iov_share.available = share_available;
	requests->bytes_max = QUEUE_BYTES_MAX;
	requests->slots = pages_alloc(requests->slot_count * sizeof(*requests->slots));
	if (!requests->slots || iov_share_init(&requests->iov_share))
		goto no_memory;
	if (!disk->pin_guest_memory)
		return 0;
	requests->guest_memory = guest_memory_new(&requests->worker->ring, &requests->vq->view,
						  disk->name, GUEST_SLICE_SHIFT);
	if (requests->guest_memory)
		return 0;
no_memory:
	requests_exit(requests);
	return -ENOMEM;
}

void requests_exit(struct requests *requests)
{
	pages_free(requests->slots, requests->slot_count * sizeof(*requests->slots));
	iov_share_exit(&requests->iov_share);
	pool_exit(&requests->staging_buffers);
	guest_memory_free(requests->guest_memory);
}

void requests_begin(struct requests *requests, uint64_t features)
{
	requests->features = features;
	/* virtio 1.3, 5.2.6.2: for a driver without FLUSH, a completed write must be durable. */
	requests->durable_writes = !requests->disk->backend->limits.volatile_cache ||
				   !(features & (1ull << VIRTIO_BLK_F_FLUSH));
}

void requests_end(struct requests *requests)
{
	ring_timer_expire_now(&requests->worker->ring, &requests->retry);
}
