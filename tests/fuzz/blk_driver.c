// SPDX-License-Identifier: GPL-2.0-or-later
#include "blk_driver.h"

#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "iotlb.h"

/* The first region holds rings, tables and data; each queue has a part of its own. */
#define BASE	   0x100000ull
#define MAIN_SIZE  0x10000u
#define QUEUE_ROOM 0x4000u
#define AVAIL_AT   0x400u
#define USED_AT	   0x800u
#define TABLE_AT   0x1000u
#define DATA_AT	   0x3800u
#define DATA_SKIP  64u
#define WINDOW	   0x80000u

#define PIECES_MAX 32u

static const struct {
	uint64_t start;
	uint32_t size;
	uint8_t perm;
} layout[] = {
	{ BASE, MAIN_SIZE, VDUSE_ACCESS_RW },
	{ BASE + MAIN_SIZE, 0x1000, VDUSE_ACCESS_RW }, /* what crosses into it is cut in two */
	{ BASE + 0x20000, 0x4000, VDUSE_ACCESS_RO },
	{ BASE + 0x30000, 0x4000, VDUSE_ACCESS_WO },
	{ BASE + 0x8000, 0x2000, VDUSE_ACCESS_RW }, /* within the first */
};

static uint64_t queue_at(uint32_t index, uint32_t part)
{
	return BASE + index * QUEUE_ROOM + part;
}

static const struct fake_region *region_at(const struct blk_driver *driver, uint64_t iova,
					   size_t len)
{
	for (unsigned int i = 0; i < driver->kern->region_count; i++) {
		const struct fake_region *r = &driver->kern->regions[i];

		if (iova >= r->start && iova <= r->last && len - 1 <= r->last - iova)
			return r;
	}
	return NULL;
}

void blk_driver_map(struct blk_driver *driver, uint8_t which)
{
	uint64_t start, last;

	which %= ARRAY_SIZE(layout);
	start = layout[which].start;
	last = start + layout[which].size - 1;
	for (unsigned int i = 0; i < driver->kern->region_count; i++) {
		const struct fake_region *r = &driver->kern->regions[i];

		if (r->start <= last && r->last >= start)
			return;
	}
	fake_kern_map(driver->kern, start, layout[which].size, layout[which].perm, which * 0x1000u);
}

void blk_driver_write(struct blk_driver *driver, uint64_t iova, const void *from, size_t len)
{
	if (len && region_at(driver, iova, len))
		fake_kern_write(driver->kern, iova, from, len);
}

static void write_memory(void *driver, uint64_t addr, const void *from, size_t len)
{
	blk_driver_write(driver, addr, from, len);
}

void blk_driver_init(struct blk_driver *driver, uint16_t queue_size)
{
	*driver = (struct blk_driver){ .queue_size = queue_size };
	for (uint32_t i = 0; i < BLK_DRIVER_QUEUES_MAX; i++)
		driver->rings[i] = (struct driver_ring){
			.num = queue_size,
			.desc = queue_at(i, 0),
			.avail = queue_at(i, AVAIL_AT),
			.write = write_memory,
			.memory = driver,
		};
}

void blk_driver_program(struct blk_driver *driver, uint32_t index)
{
	driver->kern->vqs[index].info = (struct vduse_vq_info){
		.num = driver->queue_size,
		.desc_addr = driver->rings[index].desc,
		.driver_addr = driver->rings[index].avail,
		.device_addr = queue_at(index, USED_AT),
		.ready = true,
	};
	driver->rings[index].avail_idx = 0;
}

void blk_driver_program_oddly(struct blk_driver *driver, uint32_t index, struct input *in)
{
	struct vduse_vq_info *info = &driver->kern->vqs[index].info;
	__u64 *const parts[] = { &info->desc_addr, &info->driver_addr, &info->device_addr };
	uint8_t what = input_u8(in);

	info->ready = what & 1;
	if (what & 2)
		info->num = input_u16(in);
	if (what & 4)
		*parts[(what >> 6) % ARRAY_SIZE(parts)] = BASE + (uint64_t)input_u16(in) * 16;
	if (what & 8)
		*parts[(what >> 6) % ARRAY_SIZE(parts)] = input_u64(in);
	if (what & 16)
		info->split.avail_index = input_u16(in);
	driver->rings[index].avail_idx = info->split.avail_index;
}

/* What follows is at the next index. */
static void write_desc(struct driver_ring *ring, uint64_t table, uint32_t at, uint64_t addr,
		       uint32_t len, uint16_t flags)
{
	driver_ring_write_desc(ring, table, at,
			       driver_ring_desc(addr, len, flags, (uint16_t)(at + 1)));
}

/* A head is one indirect descriptor: header, pieces of data, status. */
void blk_driver_request(struct blk_driver *driver, uint32_t index, struct input *in)
{
	static const uint8_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
					 VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
					 VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	struct driver_ring *ring = &driver->rings[index];
	uint16_t head = input_u8(in) & (driver->queue_size - 1);
	uint8_t type = types[input_u8(in) % ARRAY_SIZE(types)];
	struct virtio_blk_outhdr header = { .type = htole32(type), .sector = input_u8(in) };
	struct virtio_blk_discard_write_zeroes range = { .sector = header.sector,
							 .num_sectors = htole32(8) };
	uint32_t count = input_u8(in) % (PIECES_MAX + 1), piece = (input_u8(in) + 1u) * 128;
	uint64_t table = queue_at(index, TABLE_AT) + head * (PIECES_MAX + 2) * 16;
	uint64_t data = queue_at(index, DATA_AT) + head * DATA_SKIP;
	bool to_driver = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	blk_driver_write(driver, data, &header, sizeof(header));
	blk_driver_write(driver, data + DATA_SKIP, &range, sizeof(range));
	write_desc(ring, table, 0, data, sizeof(header), VRING_DESC_F_NEXT);
	for (uint32_t i = 1; i <= count; i++)
		write_desc(ring, table, i, data + i * DATA_SKIP, piece,
			   VRING_DESC_F_NEXT | (to_driver ? VRING_DESC_F_WRITE : 0));
	write_desc(ring, table, count + 1, data + DATA_SKIP - 1, 1, VRING_DESC_F_WRITE);
	write_desc(ring, ring->desc, head, table, (count + 2) * 16, VRING_DESC_F_INDIRECT);
	driver_ring_expose(ring, head);
	driver_ring_publish(ring);
}

void blk_driver_scribble(struct blk_driver *driver, struct input *in)
{
	uint64_t at = BASE + (input_u16(in) * 8ull) % WINDOW;
	uint8_t bytes[16], len = input_u8(in) % (sizeof(bytes) + 1);

	input_bytes(in, bytes, len);
	blk_driver_write(driver, at, bytes, len);
}
