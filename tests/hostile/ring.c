// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hostile.h"

void ring_move(struct ring *ring, uint8_t *memory)
{
	ring->desc = (struct vring_desc *)memory;
	ring->avail = (struct vring_avail *)(memory + RING_AVAIL);
	ring->used = (struct vring_used *)(memory + RING_USED);
}

void ring_init(struct ring *ring, uint8_t *memory, uint64_t iova, uint16_t num)
{
	ring->num = num;
	ring->iova = iova;
	ring_move(ring, memory);
	ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->kick_fd < 0 || ring->call_fd < 0)
		fail("eventfd: %s", strerror(errno));
	ring_clear(ring, 0);
}

void ring_clear(struct ring *ring, uint16_t first)
{
	uint64_t count;

	memset(ring->desc, 0, RING_BYTES);
	ring->avail->idx = htole16(first);
	ring->used->idx = htole16(first);
	ring->next_avail = first;
	ring->last_used = first;
	ring->avail->ring[ring->num] = htole16(first); /* used_event: interrupt at the next one */
	while (read(ring->call_fd, &count, sizeof(count)) > 0)
		;
}

struct vring_desc ring_desc(uint64_t iova, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){
		.addr = htole64(iova),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

void ring_offer(struct ring *ring, uint16_t head)
{
	ring->avail->ring[ring->next_avail++ % ring->num] = htole16(head);
}

void ring_kick(struct ring *ring)
{
	uint64_t one = 1;

	if (write(ring->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		fail("cannot kick: %s", strerror(errno));
}

void ring_publish(struct ring *ring)
{
	/* Pairs with the device's acquire of avail->idx: it sees the descriptors. */
	store_release(&ring->avail->idx, htole16(ring->next_avail));
	ring_kick(ring);
}

bool ring_reap(struct ring *ring, struct vring_used_elem *elem)
{
	/* Pairs with the device's release of used->idx: we see its entries and their data. */
	if (le16toh(load_acquire(&ring->used->idx)) == ring->last_used)
		return false;
	*elem = ring->used->ring[ring->last_used++ % ring->num];
	elem->id = le32toh(elem->id);
	elem->len = le32toh(elem->len);
	ring->avail->ring[ring->num] = htole16(ring->last_used);
	/* Pairs with the device's barrier between used->idx and used_event (virtio 1.3, 2.7.7). */
	full_barrier();
	return true;
}

static bool wait_step(struct ring *ring, struct vring_used_elem *elem, unsigned int ms, int step_ms)
{
	struct pollfd interrupt = { .fd = ring->call_fd, .events = POLLIN };
	uint64_t deadline = now_ms() + ms, count;

	do {
		if (ring_reap(ring, elem))
			return true;
		poll(&interrupt, 1, step_ms);
		if (read(ring->call_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			fail("eventfd: %s", strerror(errno));
	} while (now_ms() < deadline);
	return false;
}

bool ring_wait(struct ring *ring, struct vring_used_elem *elem, unsigned int ms)
{
	return wait_step(ring, elem, ms, 1);
}

bool ring_wait_irq(struct ring *ring, struct vring_used_elem *elem, unsigned int ms)
{
	return wait_step(ring, elem, ms, (int)ms);
}
