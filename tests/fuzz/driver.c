// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.h"

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

static const struct fake_region *region_at(const struct driver *driver, uint64_t iova, size_t len)
{
	for (unsigned int i = 0; i < driver->kern->region_count; i++) {
		const struct fake_region *r = &driver->kern->regions[i];

		if (iova >= r->start && iova <= r->last && len - 1 <= r->last - iova)
			return r;
	}
	return NULL;
}

void driver_map(struct driver *driver, uint8_t which)
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

void driver_write(struct driver *driver, uint64_t iova, const void *from, size_t len)
{
	if (len && region_at(driver, iova, len))
		fake_kern_write(driver->kern, iova, from, len);
}

void driver_program(struct driver *driver, uint32_t index)
{
	driver->kern->vqs[index].info = (struct vduse_vq_info){
		.num = driver->queue_size,
		.desc_addr = queue_at(index, 0),
		.driver_addr = queue_at(index, AVAIL_AT),
		.device_addr = queue_at(index, USED_AT),
		.ready = true,
	};
	driver->avail_idx[index] = 0;
}

void driver_program_oddly(struct driver *driver, uint32_t index, struct input *in)
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
	driver->avail_idx[index] = info->split.avail_index;
}

static void write_desc(struct driver *driver, uint64_t table, uint32_t at, uint64_t addr,
		       uint32_t len, uint16_t flags)
{
	struct vring_desc desc = {
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16((uint16_t)(at + 1)),
	};

	driver_write(driver, table + at * sizeof(desc), &desc, sizeof(desc));
}

static void expose(struct driver *driver, uint32_t index, uint16_t head)
{
	uint64_t ring = queue_at(index, AVAIL_AT);
	uint16_t at = driver->avail_idx[index] % driver->queue_size, entry = htole16(head);

	driver_write(driver, ring + 4 + 2u * at, &entry, sizeof(entry));
	entry = htole16(++driver->avail_idx[index]);
	driver_write(driver, ring + 2, &entry, sizeof(entry));
}

/* A head is one indirect descriptor: header, pieces of data, status. */
void driver_request(struct driver *driver, uint32_t index, struct input *in)
{
	static const uint8_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
					 VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
					 VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	uint16_t head = input_u8(in) & (driver->queue_size - 1);
	uint8_t type = types[input_u8(in) % ARRAY_SIZE(types)];
	struct virtio_blk_outhdr header = { .type = htole32(type), .sector = input_u8(in) };
	struct virtio_blk_discard_write_zeroes range = { .sector = header.sector,
							 .num_sectors = htole32(8) };
	uint32_t count = input_u8(in) % (PIECES_MAX + 1), piece = (input_u8(in) + 1u) * 128;
	uint64_t table = queue_at(index, TABLE_AT) + head * (PIECES_MAX + 2) * 16;
	uint64_t data = queue_at(index, DATA_AT) + head * DATA_SKIP;
	bool to_driver = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	driver_write(driver, data, &header, sizeof(header));
	driver_write(driver, data + DATA_SKIP, &range, sizeof(range));
	write_desc(driver, table, 0, data, sizeof(header), VRING_DESC_F_NEXT);
	for (uint32_t i = 1; i <= count; i++)
		write_desc(driver, table, i, data + i * DATA_SKIP, piece,
			   VRING_DESC_F_NEXT | (to_driver ? VRING_DESC_F_WRITE : 0));
	write_desc(driver, table, count + 1, data + DATA_SKIP - 1, 1, VRING_DESC_F_WRITE);
	write_desc(driver, queue_at(index, 0), head, table, (count + 2) * 16,
		   VRING_DESC_F_INDIRECT);
	expose(driver, index, head);
}

void driver_scribble(struct driver *driver, struct input *in)
{
	uint64_t at = BASE + (input_u16(in) * 8ull) % WINDOW;
	uint8_t bytes[16], len = input_u8(in) % (sizeof(bytes) + 1);

	input_bytes(in, bytes, len);
	driver_write(driver, at, bytes, len);
}
