// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_SIZE (16 * GUEST_PAGE)
/* With the rest, below the limit of regions in one IOTLB, and more than a chain may have pieces. */
#define DATA_SIZE_PER_BYTE 3072u

static size_t page_round(size_t size)
{
	return (size + GUEST_PAGE - 1) & ~(size_t)(GUEST_PAGE - 1);
}

/* ---- memory: areas, their pieces, two mappings ---- */

static const struct guest_area *area_of(const struct guest *g, uint64_t addr)
{
	for (unsigned int i = 0; i < g->area_count; i++)
		if (addr >= g->areas[i].start && addr - g->areas[i].start < g->areas[i].size)
			return &g->areas[i];
	return NULL;
}

/* Which piece of the file holds piece @index: neighbours lie apart (779 is prime to the counts). */
static size_t piece_in_file(const struct guest_area *a, size_t index)
{
	return (index * 779 + 3) % (a->size / a->piece);
}

static size_t offset_in_file(const struct guest_area *a, uint64_t addr)
{
	size_t at = addr - a->start;

	return a->offset + piece_in_file(a, at / a->piece) * a->piece + at % a->piece;
}

/* Pages have holes between them, bytes cannot. */
static size_t stride(const struct guest_area *a)
{
	return a->piece == GUEST_PAGE ? 2 * GUEST_PAGE : a->piece;
}

static uint8_t *device_ptr(const struct guest_area *a, uint64_t addr)
{
	size_t at = addr - a->start;

	return a->dev + piece_in_file(a, at / a->piece) * stride(a) + at % a->piece;
}

static size_t device_size(const struct guest_area *a)
{
	return page_round(a->size / a->piece * stride(a)) + GUEST_PAGE;
}

static void *must_mmap(void *at, size_t size, int prot, int flags, int fd, size_t offset)
{
	void *addr = mmap(at, size, prot, flags | (at ? MAP_FIXED : 0), fd, (off_t)offset);

	must(addr != MAP_FAILED, "guest: mmap: %s", strerror(errno));
	return addr;
}

static void area_map(struct guest *g, struct guest_area *a)
{
	size_t step = a->piece == GUEST_PAGE ? GUEST_PAGE : page_round(a->size);
	size_t pieces = a->piece == GUEST_PAGE ? a->size / GUEST_PAGE : 1;

	a->dev = must_mmap(NULL, device_size(a), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < pieces; i++)
		must_mmap(a->dev + i * stride(a), step, a->prot, MAP_SHARED, g->memfd,
			  a->offset + i * step);
}

static void area_add(struct guest *g, uint64_t start, size_t size, size_t piece, int prot)
{
	struct guest_area *a = &g->areas[g->area_count++];

	ck_assert_uint_le(g->area_count, GUEST_AREAS_MAX);
	*a = (struct guest_area){
		.start = start,
		.size = size,
		.piece = piece,
		.prot = prot,
		.offset = g->mem_size,
	};
	g->mem_size += page_round(size);
	ck_assert_int_eq(ftruncate(g->memfd, (off_t)g->mem_size), 0);
	area_map(g, a);
}

void guest_move(struct guest *g)
{
	for (unsigned int i = 0; i < g->area_count; i++) {
		struct guest_area *a = &g->areas[i];
		uint8_t *old = a->dev;

		area_map(g, a);
		/* kept without access until the end, so that nothing else comes to lie there */
		must_mmap(old, device_size(a), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}

static int guest_fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	struct guest *g = ctx;
	const struct guest_area *a = area_of(g, iova);

	if (g->fill_error)
		return g->fill_error;
	if (!a)
		return -EFAULT;
	region->start = iova - (iova - a->start) % a->piece;
	region->last = region->start + (a->piece - 1);
	region->addr = device_ptr(a, region->start);
	region->prot = a->prot;
	g->fills++;
	return 0;
}

static void guest_release(void *ctx, const struct iotlb_region *region)
{
	struct guest *g = ctx;

	(void)region;
	g->releases++;
}

static const struct iotlb_ops guest_iotlb_ops = { .fill = guest_fill, .release = guest_release };

bool guest_has(const struct guest *g, uint64_t addr, uint64_t len, int prot)
{
	while (len) {
		const struct guest_area *a = area_of(g, addr);
		uint64_t room;

		if (!a || (a->prot & prot) != prot)
			return false;
		room = a->size - (addr - a->start);
		if (len <= room)
			return true;
		if (addr + room == 0)
			return false;
		addr += room;
		len -= room;
	}
	return true;
}

static uint8_t *driver_ptr(struct guest *g, uint64_t addr)
{
	const struct guest_area *a = area_of(g, addr);

	must(a != NULL, "guest: no memory at 0x%llx", (unsigned long long)addr);
	return g->mem + offset_in_file(a, addr);
}

uint8_t *guest_device_ptr(const struct guest *g, uint64_t addr)
{
	const struct guest_area *a = area_of(g, addr);

	return a ? device_ptr(a, addr) : NULL;
}

void guest_read(struct guest *g, uint64_t addr, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = *driver_ptr(g, addr + i);
}

void guest_write(struct guest *g, uint64_t addr, const void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*driver_ptr(g, addr + i) = ((const uint8_t *)buf)[i];
}

/* Another thread may be the device: see struct driver_ring. */
static void write_ring(void *memory, uint64_t addr, const void *from, size_t len)
{
	if (len == sizeof(uint16_t))
		store_release((uint16_t *)driver_ptr(memory, addr), *(const uint16_t *)from);
	else
		guest_write(memory, addr, from, len);
}

/* ---- life ---- */

static void add_areas(struct guest *g, enum guest_shape shape)
{
	size_t desc_size = sizeof(struct vring_desc) * g->num;
	size_t avail_size = 6 + 2 * (size_t)g->num, used_size = 6 + 8 * (size_t)g->num;
	const int rw = PROT_READ | PROT_WRITE;

	g->desc_addr = g->base + GUEST_MEM;
	g->avail_addr = g->desc_addr + page_round(desc_size);
	g->used_addr = g->avail_addr + page_round(avail_size);
	ck_assert_uint_le(g->used_addr + used_size, g->base + GUEST_DATA);

	if (shape == GUEST_ONE_REGION) {
		size_t size = GUEST_DATA - GUEST_MEM + g->data_size;

		area_add(g, g->base + GUEST_MEM, size, size, rw);
	} else {
		area_add(g, g->desc_addr, desc_size, desc_size, rw);
		area_add(g, g->avail_addr, avail_size, avail_size, rw);
		area_add(g, g->used_addr, used_size, used_size, rw);
		area_add(g, g->base + GUEST_DATA, g->data_size,
			 shape == GUEST_REGION_PER_BYTE ? 1 : GUEST_PAGE, rw);
	}
	area_add(g, g->base + GUEST_READ_ONLY, GUEST_PAGE, GUEST_PAGE, PROT_READ);
	area_add(g, g->base + GUEST_WRITE_ONLY, GUEST_PAGE, GUEST_PAGE, PROT_WRITE);
	area_add(g, GUEST_TOP, GUEST_PAGE, GUEST_PAGE, rw);
}

struct guest *guest_new(uint16_t num, enum guest_shape shape)
{
	return guest_new_at(num, shape, 0);
}

struct guest *guest_new_at(uint16_t num, enum guest_shape shape, uint64_t base)
{
	struct guest *g = calloc(1, sizeof(*g));

	ck_assert_ptr_nonnull(g);
	g->base = base;
	g->num = num;
	g->data_size = shape == GUEST_REGION_PER_BYTE ? DATA_SIZE_PER_BYTE : DATA_SIZE;
	g->memfd = memfd_create("guest", MFD_CLOEXEC);
	ck_assert_int_ge(g->memfd, 0);
	add_areas(g, shape);
	g->mem = must_mmap(NULL, g->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	g->desc = (void *)driver_ptr(g, g->desc_addr);
	g->avail = (void *)driver_ptr(g, g->avail_addr);
	g->used = (void *)driver_ptr(g, g->used_addr);

	g->chains = calloc(num, sizeof(*g->chains));
	g->next_free = calloc(num, sizeof(*g->next_free));
	ck_assert(g->chains && g->next_free);
	g->ring = (struct driver_ring){
		.num = num,
		.desc = g->desc_addr,
		.avail = g->avail_addr,
		.write = write_ring,
		.memory = g,
	};
	iotlb_init(&g->tlb, &guest_iotlb_ops, g);
	guest_reset(g, 0);
	return g;
}

static void chain_forget(struct guest *g, uint16_t head)
{
	free(g->chains[head].segs);
	g->chains[head] = (struct guest_chain){ .busy = false };
}

void guest_reset(struct guest *g, uint16_t first)
{
	memset(g->mem, 0, g->mem_size);
	g->avail->idx = htole16(first);
	g->used->idx = htole16(first);
	g->ring.avail_idx = g->ring.published = g->last_used = first;
	for (uint16_t i = 0; i < g->num; i++) {
		chain_forget(g, i);
		g->next_free[i] = i + 1;
	}
	g->busy = 0;
	g->first_free = 0;
	g->free_count = g->num;
	g->data_next = 0;
}

void *guest_save(const struct guest *g)
{
	void *saved = malloc(g->mem_size);

	ck_assert_ptr_nonnull(saved);
	return memcpy(saved, g->mem, g->mem_size);
}

void guest_restore(struct guest *g, void *saved)
{
	memcpy(g->mem, saved, g->mem_size);
	free(saved);
}

void guest_free(struct guest *g)
{
	guest_reset(g, 0);
	iotlb_exit(&g->tlb);
	ck_assert_uint_eq(g->fills, g->releases);
	for (unsigned int i = 0; i < g->area_count; i++)
		munmap(g->areas[i].dev, device_size(&g->areas[i]));
	munmap(g->mem, g->mem_size);
	close(g->memfd);
	free(g->chains);
	free(g->next_free);
	free(g);
}

/* ---- the driver ---- */

uint8_t guest_pattern(uint32_t seed, size_t pos)
{
	return (uint8_t)((seed * 2654435761u >> 24) + pos * 7 + (pos >> 8) + 1);
}

/* Room in the data area for a whole chain, away from those that are out. */
static void chain_reserve(struct guest *g, struct guest_chain *chain)
{
	size_t size = g->indirect ? chain->count * sizeof(struct vring_desc) : 0;

	for (size_t i = 0; i < chain->count; i++)
		size += chain->segs[i].addr ? 0 : chain->segs[i].len;
	if (!g->busy) /* where there are pages, begin just before a border */
		g->data_next = g->data_size > GUEST_PAGE ? GUEST_PAGE - 8 : 0;
	if (size > g->data_size - g->data_next)
		g->data_next = 0;
	chain->data_start = g->data_next;
	chain->data_end = g->data_next + size;
	must(size <= g->data_size, "guest: chain is larger than the data area");
	for (uint16_t i = 0; i < g->num; i++)
		must(&g->chains[i] == chain || !g->chains[i].busy ||
			     chain->data_end <= g->chains[i].data_start ||
			     chain->data_start >= g->chains[i].data_end,
		     "guest: data area is full");
}

static uint64_t chain_alloc(struct guest *g, size_t len)
{
	uint64_t addr = g->base + GUEST_DATA + g->data_next;

	g->data_next += len;
	return addr;
}

/* Gives @seg its memory and notes what the device will have to find there. */
static void place_seg(struct guest *g, struct guest_chain *chain, struct chain_part *seg)
{
	if (!seg->addr) {
		seg->addr = chain_alloc(g, seg->len);
		for (uint32_t i = 0; i < seg->len; i++)
			*driver_ptr(g, seg->addr + i) =
				seg->in ? 0 : guest_pattern(chain->seed, chain->out_bytes + i);
	}
	if (!seg->in) {
		chain->out_bytes += seg->len;
	} else if (seg->len) {
		chain->in_bytes += seg->len;
		chain->last_in = seg->addr + seg->len - 1;
	}
}

static struct vring_desc seg_desc(const struct chain_part *seg, bool more, uint16_t next)
{
	return driver_ring_desc(seg->addr, seg->len,
				(seg->in ? VRING_DESC_F_WRITE : 0) | (more ? VRING_DESC_F_NEXT : 0),
				more ? next : 0);
}

static void write_indirect(struct guest *g, const struct guest_chain *chain, uint16_t head)
{
	uint64_t table = chain_alloc(g, chain->count * sizeof(struct vring_desc));

	for (size_t i = 0; i < chain->count; i++)
		driver_ring_write_desc(
			&g->ring, table, (uint32_t)i,
			seg_desc(&chain->segs[i], i + 1 < chain->count, (uint16_t)(i + 1)));
	driver_ring_write_desc(
		&g->ring, g->desc_addr, head,
		driver_ring_desc(table, (uint32_t)(chain->count * sizeof(struct vring_desc)),
				 VRING_DESC_F_INDIRECT, 0));
}

int guest_add_segs(struct guest *g, const struct chain_part *segs, size_t count)
{
	size_t needed = g->indirect ? 1 : count;
	uint16_t head = g->first_free, at = head;
	struct guest_chain *chain = &g->chains[head];

	if (needed > g->free_count)
		return -ENOSPC;

	*chain = (struct guest_chain){ .busy = true, .count = count, .seed = ++g->seed };
	chain->segs = malloc(count * sizeof(*segs));
	ck_assert_ptr_nonnull(chain->segs);
	memcpy(chain->segs, segs, count * sizeof(*segs));
	chain_reserve(g, chain);
	for (size_t i = 0; i < count; i++)
		place_seg(g, chain, &chain->segs[i]);

	for (size_t i = 0; i < needed; i++, at = i < needed ? g->next_free[at] : at)
		driver_ring_write_desc(&g->ring, g->desc_addr, at,
				       seg_desc(&chain->segs[i], i + 1 < needed, g->next_free[at]));
	if (g->indirect)
		write_indirect(g, chain, head);
	chain->last_desc = at;
	chain->desc_count = (uint16_t)needed;
	g->first_free = g->next_free[at];
	g->free_count -= (uint16_t)needed;
	g->busy++;
	driver_ring_expose(&g->ring, head);
	return head;
}

uint16_t *guest_used_event(struct guest *g)
{
	return &g->avail->ring[g->num];
}

uint16_t *guest_avail_event(struct guest *g)
{
	return (uint16_t *)&g->used->ring[g->num];
}

bool guest_publish(struct guest *g)
{
	uint16_t event, old = g->ring.published;

	driver_ring_publish(&g->ring);
	full_barrier(); /* pairs with the device's, between avail_event (flags) and avail->idx */
	if (!g->event_idx)
		return !(le16toh(load_relaxed(&g->used->flags)) & VRING_USED_F_NO_NOTIFY);
	/* virtio 1.3, 2.7.10: kick if the entry the device named is among the new ones */
	event = le16toh(load_relaxed(guest_avail_event(g)));
	for (uint16_t i = old; i != g->ring.published; i++)
		if (i == event)
			return true;
	return false;
}

int guest_reap(struct guest *g, uint32_t *len)
{
	struct vring_used_elem elem;
	struct guest_chain *chain;
	uint16_t head;

	if (le16toh(load_acquire(&g->used->idx)) == g->last_used)
		return -EAGAIN;
	elem = g->used->ring[g->last_used++ % g->num];
	must(le32toh(elem.id) < g->num, "guest: used head %u is out of range", le32toh(elem.id));
	head = (uint16_t)le32toh(elem.id);
	chain = &g->chains[head];
	must(chain->busy, "guest: chain %u used, but it was not out", head);
	*len = le32toh(elem.len);

	g->next_free[chain->last_desc] = g->first_free;
	g->first_free = head;
	g->free_count += chain->desc_count;
	g->busy--;
	chain_forget(g, head);
	return head;
}

bool guest_want_interrupt(struct guest *g)
{
	if (g->event_idx)
		store_relaxed(guest_used_event(g), htole16(g->last_used));
	else
		store_relaxed(&g->avail->flags, 0);
	full_barrier(); /* pairs with the device's, between used->idx and used_event (flags) */
	return le16toh(load_acquire(&g->used->idx)) != g->last_used;
}
