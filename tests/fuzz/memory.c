// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include <errno.h>

#define CUTS_MAX (MEMORY_REGIONS_MAX - 4) /* the rings, and what is left at the end */

static const struct memory_region *find(const struct memory *memory, uint64_t iova)
{
	for (unsigned int i = 0; i < memory->count; i++)
		if (iova >= memory->regions[i].map.start && iova <= memory->regions[i].map.last)
			return &memory->regions[i];
	return NULL;
}

static struct memory_region *region_at(struct memory *memory, uint64_t iova)
{
	return (struct memory_region *)find(memory, iova);
}

static size_t region_size(const struct memory_region *r)
{
	return r->map.last - r->map.start + 1;
}

static void region_move(struct memory_region *r)
{
	size_t into = (size_t)(r->map.addr - r->allocation);
	uint8_t *allocation = malloc(into + region_size(r));

	must(allocation);
	memcpy(allocation + into, r->map.addr, region_size(r));
	free(r->allocation);
	r->allocation = allocation;
	r->map.addr = allocation + into;
}

static int fill(void *ctx, uint64_t iova, struct iotlb_region *out)
{
	struct memory_region *r = region_at(ctx, iova);

	if (!r)
		return -EFAULT;
	must(!r->filled);
	r->filled = true;
	*out = r->map;
	return 0;
}

static void release(void *ctx, const struct iotlb_region *given)
{
	struct memory_region *r = region_at(ctx, given->start);

	must(r && r->filled && r->map.addr == given->addr);
	r->filled = false;
	region_move(r);
}

const struct iotlb_ops memory_iotlb_ops = { .fill = fill, .release = release };

static void region_add(struct memory *memory, uint32_t start, uint32_t size, int prot, size_t into)
{
	struct memory_region *r = &memory->regions[memory->count++];

	*r = (struct memory_region){
		.map.start = memory->base + start,
		.map.last = memory->base + start + (size - 1),
		.map.prot = prot,
		.allocation = calloc(1, into + size),
	};
	must(r->allocation);
	r->map.addr = r->allocation + into;
}

void memory_init(struct memory *memory, const uint32_t rings[3], struct input *in, bool cut)
{
	uint32_t at = 0;

	memory->count = 0;
	for (unsigned int i = 0; i < 3; i++) {
		if (rings[i] <= at)
			continue;
		region_add(memory, at, rings[i] - at, PROT_READ | PROT_WRITE, 0);
		at = rings[i];
	}
	for (unsigned int i = 0; cut && i < CUTS_MAX && at < MEMORY_SIZE; i++) {
		uint32_t size = input_u16(in) + 1u;
		uint8_t how = input_u8(in);

		size = MIN(size, MEMORY_SIZE - at);
		if (!(how & 4))
			region_add(memory, at, size, how & 3 ? how & 3 : PROT_READ | PROT_WRITE,
				   how & 8 ? how >> 4 : 0);
		at += size;
	}
	if (at < MEMORY_SIZE)
		region_add(memory, at, MEMORY_SIZE - at, PROT_READ | PROT_WRITE, 0);
}

void memory_exit(struct memory *memory)
{
	for (unsigned int i = 0; i < memory->count; i++) {
		must(!memory->regions[i].filled);
		free(memory->regions[i].allocation);
	}
}

/* The part of [@iova, @iova + *@len) that one region holds; a hole is a part without memory. */
static uint8_t *part(const struct memory *memory, uint64_t iova, size_t *len, int prot)
{
	const struct memory_region *r = find(memory, iova);

	if (!r) {
		*len = 1;
		return NULL;
	}
	*len = MIN(*len - 1, r->map.last - iova) + 1;
	return (r->map.prot & prot) == prot ? r->map.addr + (iova - r->map.start) : NULL;
}

void memory_write(struct memory *memory, uint64_t iova, const void *from, size_t len)
{
	for (size_t done = 0, piece; done < len; done += piece) {
		uint8_t *to;

		piece = len - done;
		to = part(memory, iova + done, &piece, PROT_NONE);
		if (to)
			memcpy(to, (const uint8_t *)from + done, piece);
	}
}

bool memory_read(const struct memory *memory, uint64_t iova, void *to, size_t len)
{
	for (size_t done = 0, piece; done < len; done += piece) {
		const uint8_t *from;

		piece = len - done;
		from = part(memory, iova + done, &piece, PROT_READ);
		if (!from)
			return false;
		memcpy((uint8_t *)to + done, from, piece);
	}
	return true;
}

bool memory_holds(const struct memory *memory, const void *addr, size_t len, int prot)
{
	const uint8_t *at = addr;

	for (unsigned int i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];
		size_t size = region_size(r);

		if (r->filled && (r->map.prot & prot) == prot && at >= r->map.addr && len <= size &&
		    (size_t)(at - r->map.addr) <= size - len)
			return true;
	}
	return false;
}
