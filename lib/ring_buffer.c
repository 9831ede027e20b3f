// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that is registered with a ring. */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "ring.h"

/* Return: the slot that has this memory, or a free slot; RING_BUFFERS_MAX: the table is full */
static unsigned int buffer_slot(const struct ring *ring, const void *addr, size_t len)
{
	unsigned int slot = RING_BUFFERS_MAX;

	for (unsigned int i = RING_BUFFERS_MAX; i--;) {
		if (!ring->buffers[i].users)
			slot = i;
		else if (ring->buffers[i].addr == addr && ring->buffers[i].len == len)
			return i;
	}
	return slot;
}

static int table_update(struct io_uring *uring, unsigned int slot, void *addr, size_t len)
{
	struct iovec iov = { .iov_base = addr, .iov_len = len };
	int ret = io_uring_register_buffers_update_tag(uring, slot, &iov, NULL, 1);

	if (ret < 0)
		return ret;
	return ret == 1 ? 0 : -EIO;
}

/* @addr NULL: empty the slot. Return: 0; -errno */
static int buffer_update(struct ring *ring, unsigned int slot, void *addr, size_t len)
{
	int err = table_update(&ring->uring, slot, addr, len);

	if (err || !ring->has_iopoll)
		return err;
	err = table_update(&ring->iopoll, slot, addr, len);
	if (err && addr && table_update(&ring->uring, slot, NULL, 0))
		log_warn("cannot unregister a buffer, it stays pinned");
	return err;
}

int ring_buffer_add(struct ring *ring, struct ring_buffer *buffer, void *addr, size_t len)
{
	unsigned int slot = buffer_slot(ring, addr, len);
	int err = 0;

	if (slot == RING_BUFFERS_MAX)
		return -ENOSPC;
	if (!ring->has_buffers)
		err = io_uring_register_buffers_sparse(&ring->uring, RING_BUFFERS_MAX);
	if (err)
		return err;
	ring->has_buffers = true;
	if (!ring->buffers[slot].users) {
		err = buffer_update(ring, slot, addr, len);
		if (err)
			return err;
		ring->buffers[slot].addr = addr;
		ring->buffers[slot].len = len;
	}
	ring->buffers[slot].users++;
	*buffer = (struct ring_buffer){ .addr = addr, .len = len, .index = (uint16_t)slot };
	return 0;
}

void ring_buffer_remove(struct ring *ring, struct ring_buffer *buffer)
{
	int err = 0;

	if (!buffer->len)
		return;
	if (ring->buffers[buffer->index].users == 1)
		err = buffer_update(ring, buffer->index, NULL, 0);
	if (err) {
		/* The slot stays in use. NULL: other memory at this address must not match. */
		log_warn("cannot unregister a buffer, it stays pinned: %s", strerror(-err));
		ring->buffers[buffer->index].addr = NULL;
	} else {
		ring->buffers[buffer->index].users--;
	}
	*buffer = (struct ring_buffer){ 0 };
}
