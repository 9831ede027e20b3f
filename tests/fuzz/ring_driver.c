// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring_driver.h"

#include <endian.h>

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
	struct vring_desc desc = {
		.addr = htole64(driver->memory->base + input_u16(in)),
		.len = htole32(input_u16(in)),
		.flags = htole16(input_u8(in)),
		.next = htole16(input_u8(in)),
	};

	memory_write(driver->memory, table + index * sizeof(desc), &desc, sizeof(desc));
}

static void expose(struct ring_driver *driver, uint16_t head)
{
	uint64_t avail = driver->layout->driver;
	uint16_t at = driver->avail_idx & (driver->layout->num - 1), entry = htole16(head);

	memory_write(driver->memory, avail + 4 + 2 * at, &entry, sizeof(entry));
	entry = htole16(++driver->avail_idx);
	memory_write(driver->memory, avail + 2, &entry, sizeof(entry));
}

void ring_driver_step(struct ring_driver *driver, uint8_t step, struct input *in)
{
	switch (step) {
	case 0:
		write_bytes(driver, in);
		break;
	case 1:
		write_desc(driver, in, driver->layout->desc);
		break;
	case 2:
		write_desc(driver, in, driver->memory->base + input_u16(in));
		break;
	case 3:
		expose(driver, input_u8(in));
		break;
	}
}
