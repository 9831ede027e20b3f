// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring_driver.h"

static void write_memory(void *memory, uint64_t addr, const void *from, size_t len)
{
	memory_write(memory, addr, from, len);
}

void ring_driver_init(struct ring_driver *driver, struct memory *memory,
		      const struct virtq_layout *layout, uint16_t avail_idx)
{
	driver->memory = memory;
	driver->ring = (struct driver_ring){
		.num = layout->num,
		.desc = layout->desc,
		.avail = layout->driver,
		.write = write_memory,
		.memory = memory,
		.avail_idx = avail_idx,
	};
}

static void write_bytes(struct ring_driver *driver, struct input *in)
{
	uint16_t at = input_u16(in);
	uint8_t bytes[32], len = input_u8(in) % (sizeof(bytes) + 1);

	input_bytes(in, bytes, len);
	memory_write(driver->memory, driver->memory->base + at, bytes, len);
}

static void write_desc(struct ring_driver *driver, struct input *in, uint64_t table)
{
	uint8_t index = input_u8(in);
	uint64_t addr = driver->memory->base + input_u16(in);
	uint16_t len = input_u16(in), flags = input_u8(in), next = input_u8(in);

	driver_ring_write_desc(&driver->ring, table, index,
			       driver_ring_desc(addr, len, flags, next));
}

void ring_driver_step(struct ring_driver *driver, uint8_t step, struct input *in)
{
	switch (step) {
	case 0:
		write_bytes(driver, in);
		break;
	case 1:
		write_desc(driver, in, driver->ring.desc);
		break;
	case 2:
		write_desc(driver, in, driver->memory->base + input_u16(in));
		break;
	case 3:
		driver_ring_expose(&driver->ring, input_u8(in));
		driver_ring_publish(&driver->ring);
		break;
	}
}
