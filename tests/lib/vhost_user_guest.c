// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_guest.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "time_ns.h"

/* Front-end addresses: far from the mappings of this process, and each region at another distance. */
#define USER_BASE   0x500000000000ull
#define USER_STRIDE 0x10000000000ull

/* Descriptors of a request that is not indirect. */
#define SLOT_DESCS    6u
#define DATA_SEGMENTS (SLOT_DESCS - 2)

/* In the first page of a slot. At odd addresses: a driver owes alignment to the rings alone. */
#define SLOT_HEADER 0x103u
#define SLOT_STATUS 0x205u
#define SLOT_TABLE  0x400u

/*
 * Ring parts in the memory of a queue. The used index is the last word of a page, and its entries are
 * in the next ones: a dirty log that has the one need not have the other.
 */
#define RING_AVAIL 0x8000u
#define RING_USED  0xcffcu

int vug_memory_init(struct vug_memory *memory)
{
	void *base = mmap(NULL, VUG_ADDRESS_END, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*memory = (struct vug_memory){ .base = base };
	return base == MAP_FAILED ? -errno : 0;
}

void vug_memory_exit(struct vug_memory *memory)
{
	for (unsigned int i = 0; i < memory->count; i++)
		if (memory->regions[i].wire.size)
			close(memory->regions[i].fd);
	munmap(memory->base, VUG_ADDRESS_END);
}

static unsigned int free_region(struct vug_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (!memory->regions[i].wire.size)
			return i;
	return i;
}

int vug_memory_add(struct vug_memory *memory, uint64_t guest_addr, uint64_t size)
{
	unsigned int i = free_region(memory);
	uint64_t offset = (i + 1) * VUG_PAGE;
	int fd, err;

	if (i == VUG_REGIONS_MAX || guest_addr + size > VUG_ADDRESS_END)
		return -ENOSPC;
	fd = memfd_create("guest", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(offset + size)) < 0 ||
	    mmap(memory->base + guest_addr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 fd, (off_t)offset) == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	memory->regions[i] = (struct vug_region){
		.wire = { .guest_addr = guest_addr,
			  .size = size,
			  .user_addr = USER_BASE + i * USER_STRIDE + guest_addr,
			  .mmap_offset = offset },
		.fd = fd,
	};
	memory->count = MAX(memory->count, i + 1);
	return (int)i;
}

void vug_memory_remove(struct vug_memory *memory, unsigned int index)
{
	struct vug_region *region = &memory->regions[index];

	mmap(memory->base + region->wire.guest_addr, region->wire.size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	close(region->fd);
	region->wire.size = 0;
}

void *vug_ptr(const struct vug_memory *memory, uint64_t guest_addr)
{
	return memory->base + guest_addr;
}

uint64_t vug_user_addr(const struct vug_memory *memory, uint64_t guest_addr)
{
	for (unsigned int i = 0; i < memory->count; i++) {
		const struct vuc_region *wire = &memory->regions[i].wire;

		if (guest_addr >= wire->guest_addr && guest_addr - wire->guest_addr < wire->size)
			return wire->user_addr + (guest_addr - wire->guest_addr);
	}
	return 0;
}

int vug_memory_send(const struct vug_memory *memory, struct vuc *c)
{
	struct vuc_region regions[VUC_TABLE_REGIONS];
	int fds[VUC_TABLE_REGIONS];
	unsigned int count = 0;

	for (unsigned int i = 0; i < memory->count; i++) {
		if (!memory->regions[i].wire.size)
			continue;
		if (count == VUC_TABLE_REGIONS)
			return -E2BIG;
		regions[count] = memory->regions[i].wire;
		fds[count++] = memory->regions[i].fd;
	}
	return vuc_set_memory(c, regions, fds, count);
}

int vug_memory_send_slots(const struct vug_memory *memory, struct vuc *c)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < memory->count; i++)
		if (memory->regions[i].wire.size)
			err = vuc_add_memory(c, &memory->regions[i].wire, memory->regions[i].fd);
	return err;
}

static void init_slots(struct vug_queue *q, uint64_t addr)
{
	for (unsigned int i = 0; i < VUG_SLOTS_MAX; i++) {
		q->slots[i].addr = addr + i * VUG_SLOT_BYTES;
		q->slots[i].data = vug_ptr(q->memory, q->slots[i].addr + VUG_PAGE);
	}
}

int vug_queue_init(struct vug_queue *q, struct vug_memory *memory, uint32_t index, uint16_t num,
		   uint64_t addr)
{
	*q = (struct vug_queue){ .memory = memory,
				 .index = index,
				 .num = num,
				 .segment_max = VUG_DATA_MAX,
				 .desc_addr = addr,
				 .avail_addr = addr + RING_AVAIL,
				 .used_addr = addr + RING_USED };
	q->desc = vug_ptr(memory, q->desc_addr);
	q->avail = vug_ptr(memory, q->avail_addr);
	q->used = vug_ptr(memory, q->used_addr);
	init_slots(q, addr + VUG_RING_BYTES);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0 || q->call_fd < 0 || q->err_fd < 0)
		return -errno;
	vug_queue_reset(q);
	return 0;
}

void vug_queue_exit(struct vug_queue *q)
{
	close(q->kick_fd);
	close(q->call_fd);
	close(q->err_fd);
}

void vug_queue_reset(struct vug_queue *q)
{
	memset(q->desc, 0, VUG_RING_BYTES);
	q->next_avail = q->published = q->last_used = 0;
	q->busy = 0;
	for (unsigned int i = 0; i < VUG_SLOTS_MAX; i++)
		q->slots[i].busy = false;
	vug_irq_clear(q);
}

uint16_t vug_used_idx(const struct vug_queue *q)
{
	/* Pairs with the device's release of used->idx: we see its entries and their data. */
	return le16toh(load_acquire(&q->used->idx));
}

int vug_send_num(const struct vug_queue *q, struct vuc *c)
{
	return vuc_set_state(c, VUC_SET_VRING_NUM, q->index, q->num);
}

int vug_send_addr(const struct vug_queue *q, struct vuc *c, bool logged)
{
	struct vuc_vring_addr addr = {
		.index = q->index,
		.flags = logged ? VUC_VRING_F_LOG : 0,
		.desc = vug_user_addr(q->memory, q->desc_addr),
		.avail = vug_user_addr(q->memory, q->avail_addr),
		.used = vug_user_addr(q->memory, q->used_addr),
		.log = logged ? q->used_addr : 0,
	};

	return vuc_tell(c, VUC_SET_VRING_ADDR,
			&(struct vuc_send){ .payload = &addr, .size = sizeof(addr) });
}

int vug_send_base(const struct vug_queue *q, struct vuc *c)
{
	return vuc_set_state(c, VUC_SET_VRING_BASE, q->index, vug_used_idx(q));
}

int vug_send_kick(const struct vug_queue *q, struct vuc *c)
{
	return vuc_set_vring_fd(c, VUC_SET_VRING_KICK, q->index, q->kick_fd);
}

int vug_send_call(const struct vug_queue *q, struct vuc *c)
{
	return vuc_set_vring_fd(c, VUC_SET_VRING_CALL, q->index, q->call_fd);
}

int vug_send_err(const struct vug_queue *q, struct vuc *c)
{
	return vuc_set_vring_fd(c, VUC_SET_VRING_ERR, q->index, q->err_fd);
}

int vug_send_enable(const struct vug_queue *q, struct vuc *c, bool enable)
{
	return vuc_set_state(c, VUC_SET_VRING_ENABLE, q->index, enable);
}

int vug_send_start(const struct vug_queue *q, struct vuc *c)
{
	int err = vug_send_num(q, c);

	if (!err)
		err = vug_send_base(q, c);
	if (!err)
		err = vug_send_addr(q, c, false);
	if (!err)
		err = vug_send_kick(q, c);
	if (!err)
		err = vug_send_call(q, c);
	if (!err)
		err = vug_send_enable(q, c, true);
	if (!err)
		vug_kick(q);
	return err;
}

static unsigned int slot_limit(const struct vug_queue *q)
{
	return MIN(q->indirect ? q->num : q->num / SLOT_DESCS, VUG_SLOTS_MAX);
}

struct vug_slot *vug_slot_get(struct vug_queue *q)
{
	unsigned int limit = slot_limit(q);

	for (unsigned int i = 0; i < limit; i++)
		if (!q->slots[i].busy) {
			q->slots[i].head = (uint16_t)(q->indirect ? i : i * SLOT_DESCS);
			return &q->slots[i];
		}
	return NULL;
}

static struct vring_desc make_desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ .addr = htole64(addr),
				    .len = htole32(len),
				    .flags = htole16(flags),
				    .next = htole16(next) };
}

static bool device_writes(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

/* Return: bytes of the next descriptor of data; the last one takes what is left. */
static uint32_t segment_len(const struct vug_queue *q, uint32_t left, unsigned int segment)
{
	return segment + 1 < DATA_SEGMENTS ? MIN(left, q->segment_max) : left;
}

/* Writes the chain to @table, whose entries follow each other from @first on. Return: their number */
static uint16_t write_chain(const struct vug_queue *q, const struct vug_slot *slot,
			    struct vring_desc *table, uint16_t first)
{
	uint16_t data_flags = device_writes(slot->type) ? VRING_DESC_F_WRITE : 0, n = 0;
	uint32_t at = 0, len;

	table[n++] = make_desc(slot->addr + SLOT_HEADER, sizeof(struct virtio_blk_outhdr),
			       VRING_DESC_F_NEXT, first + 1);
	while (at < slot->len) {
		len = segment_len(q, slot->len - at, n - 1u);
		table[n] = make_desc(slot->addr + VUG_PAGE + at, len,
				     VRING_DESC_F_NEXT | data_flags, (uint16_t)(first + n + 1));
		n++;
		at += len;
	}
	table[n++] = make_desc(slot->addr + SLOT_STATUS, 1, VRING_DESC_F_WRITE, 0);
	return n;
}

static void write_header(const struct vug_queue *q, const struct vug_slot *slot)
{
	struct virtio_blk_outhdr header = { .type = htole32(slot->type),
					    .sector = htole64(slot->sector) };

	memcpy(vug_ptr(q->memory, slot->addr + SLOT_HEADER), &header, sizeof(header));
	*(uint8_t *)vug_ptr(q->memory, slot->addr + SLOT_STATUS) = 0xee;
}

void vug_offer(struct vug_queue *q, struct vug_slot *slot, uint32_t type, uint64_t sector,
	       uint32_t len)
{
	uint64_t table = slot->addr + SLOT_TABLE;
	uint16_t count;

	slot->type = type;
	slot->sector = sector;
	slot->len = len;
	slot->busy = true;
	q->busy++;
	write_header(q, slot);
	if (q->indirect) {
		count = write_chain(q, slot, vug_ptr(q->memory, table), 0);
		q->desc[slot->head] = make_desc(table, count * (uint32_t)sizeof(struct vring_desc),
						VRING_DESC_F_INDIRECT, 0);
	} else {
		write_chain(q, slot, &q->desc[slot->head], slot->head);
	}
	q->avail->ring[q->next_avail++ % q->num] = htole16(slot->head);
}

void vug_offer_range(struct vug_queue *q, struct vug_slot *slot, uint32_t type, uint64_t sector,
		     uint32_t sectors)
{
	struct virtio_blk_discard_write_zeroes range = { .sector = htole64(sector),
							 .num_sectors = htole32(sectors) };

	memcpy(slot->data, &range, sizeof(range));
	vug_offer(q, slot, type, 0, sizeof(range));
}

void vug_kick(const struct vug_queue *q)
{
	uint64_t one = 1;
	ssize_t n;

	/* EAGAIN: the counter is full, and so the eventfd is readable. */
	do {
		n = write(q->kick_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

static bool wants_kick(const struct vug_queue *q, uint16_t old)
{
	const void *avail_event = &q->used->ring[q->num];

	if (q->event_idx)
		return vring_need_event(le16toh(load_relaxed((const uint16_t *)avail_event)),
					q->next_avail, old);
	return !(le16toh(load_relaxed(&q->used->flags)) & VRING_USED_F_NO_NOTIFY);
}

void vug_publish(struct vug_queue *q)
{
	uint16_t old = q->published;

	/* Pairs with the device's acquire of avail->idx: it sees the descriptors. */
	store_release(&q->avail->idx, htole16(q->next_avail));
	q->published = q->next_avail;
	/* Pairs with the device's barrier between avail_event and avail->idx. */
	full_barrier();
	if (wants_kick(q, old))
		vug_kick(q);
}

static struct vug_slot *slot_of(struct vug_queue *q, uint32_t head)
{
	for (unsigned int i = 0; i < VUG_SLOTS_MAX; i++)
		if (q->slots[i].busy && q->slots[i].head == head)
			return &q->slots[i];
	return NULL;
}

int vug_reap(struct vug_queue *q, struct vug_slot **slot)
{
	struct vring_used_elem elem;
	struct vug_slot *found;

	if (vug_used_idx(q) == q->last_used)
		return 0;
	elem = q->used->ring[q->last_used++ % q->num];
	found = slot_of(q, le32toh(elem.id));
	if (!found)
		return -EPROTO;
	found->status = *(uint8_t *)vug_ptr(q->memory, found->addr + SLOT_STATUS);
	found->busy = false;
	q->busy--;
	*slot = found;
	/* A request that failed may have written less. */
	if (found->status == VIRTIO_BLK_S_OK &&
	    le32toh(elem.len) != 1 + (device_writes(found->type) ? found->len : 0))
		return -EPROTO;
	return 1;
}

bool vug_arm(struct vug_queue *q)
{
	q->avail->ring[q->num] = htole16(q->last_used);
	/* Pairs with the device's barrier between used->idx and used_event (virtio 1.3, 2.7.7). */
	full_barrier();
	return vug_used_idx(q) != q->last_used;
}

bool vug_irq_clear(const struct vug_queue *q)
{
	uint64_t count;

	return read(q->call_fd, &count, sizeof(count)) == sizeof(count);
}

int vug_wait(struct vug_queue *q, struct vug_slot **slot, unsigned int ms)
{
	struct pollfd irq = { .fd = q->call_fd, .events = POLLIN };
	uint64_t deadline_ns = time_now_ns() + ms * 1000000ull, now_ns;
	int got;

	while ((got = vug_reap(q, slot)) == 0) {
		if (vug_arm(q))
			continue;
		now_ns = time_now_ns();
		if (now_ns >= deadline_ns ||
		    poll(&irq, 1, (int)((deadline_ns - now_ns) / 1000000 + 1)) == 0)
			return vug_reap(q, slot) == 0 ? -ETIMEDOUT : -ENOMSG;
		vug_irq_clear(q);
	}
	return got < 0 ? got : 0;
}

int vug_do(struct vug_queue *q, uint32_t type, uint64_t sector, void *data, uint32_t len,
	   unsigned int ms)
{
	struct vug_slot *slot = vug_slot_get(q);
	int err;

	if (!slot)
		return -EBUSY;
	if (!device_writes(type) && len)
		memcpy(slot->data, data, len);
	vug_offer(q, slot, type, sector, len);
	vug_publish(q);
	err = vug_wait(q, &slot, ms);
	if (err)
		return err;
	if (device_writes(type))
		memcpy(data, slot->data, len);
	return slot->status;
}
