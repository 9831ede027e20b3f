// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver_ring.h"

#include <endian.h>

struct vring_desc driver_ring_desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

void driver_ring_write_desc(struct driver_ring *ring, uint64_t table, uint32_t index,
			    struct vring_desc desc)
{
	ring->write(ring->memory, table + sizeof(desc) * index, &desc, sizeof(desc));
}

static void write_u16(struct driver_ring *ring, uint64_t addr, uint16_t value)
{
	value = htole16(value);
	ring->write(ring->memory, addr, &value, sizeof(value));
}

void driver_ring_expose(struct driver_ring *ring, uint16_t head)
{
	uint16_t idx = ring->avail_idx++, entry = ring->num ? idx % ring->num : idx;

	write_u16(ring, ring->avail + offsetof(struct vring_avail, ring) + 2u * entry, head);
}

void driver_ring_publish(struct driver_ring *ring)
{
	write_u16(ring, ring->avail + offsetof(struct vring_avail, idx), ring->avail_idx);
	ring->published = ring->avail_idx;
}
