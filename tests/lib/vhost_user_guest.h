/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of a vhost-user front end: memory in memfds, split rings in it, and a virtio-blk driver
 * that keeps requests in flight. It shares no code with the server.
 *
 * Guest physical, front-end and mmap addresses of a byte all differ, so that a server that takes one
 * for another one fails. One thread for each queue.
 */
#ifndef TESTS_VHOST_USER_GUEST_H
#define TESTS_VHOST_USER_GUEST_H

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "vhost_user_client.h"

#define VUG_REGIONS_MAX 40
#define VUG_ADDRESS_END (1ull << 34) /* guest physical addresses lie below */
#define VUG_PAGE	4096u

struct vug_region {
	struct vuc_region wire; /* as a front end sends it; size 0: not in use */
	int fd;
};

struct vug_memory {
	uint8_t *base; /* the byte at guest physical address 0, of which not all are mapped */
	struct vug_region regions[VUG_REGIONS_MAX];
	unsigned int count;
};

int __must_check vug_memory_init(struct vug_memory *memory);
void vug_memory_exit(struct vug_memory *memory);

/** vug_memory_add() - a region at a guest physical address. Return: its index; -errno */
int __must_check vug_memory_add(struct vug_memory *memory, uint64_t guest_addr, uint64_t size);
void vug_memory_remove(struct vug_memory *memory, unsigned int index);

/** vug_ptr() - this process's view of a guest physical address */
void *vug_ptr(const struct vug_memory *memory, uint64_t guest_addr);

/** vug_user_addr() - the front-end address of it, for SET_VRING_ADDR; 0: in no region */
uint64_t vug_user_addr(const struct vug_memory *memory, uint64_t guest_addr);

/** vug_memory_send() - SET_MEM_TABLE with all regions, of which there are few enough */
int __must_check vug_memory_send(const struct vug_memory *memory, struct vuc *c);

/** vug_memory_send_slots() - ADD_MEM_REG for each region */
int __must_check vug_memory_send_slots(const struct vug_memory *memory, struct vuc *c);

#define VUG_DATA_MAX  65536u /* bytes of data of a request */
#define VUG_SLOTS_MAX 64u
#define VUG_ID_BYTES  20u

/* Guest memory that a queue takes, from its start on: ring parts, then the slots. */
#define VUG_RING_BYTES	0x10000u
#define VUG_SLOT_BYTES	(VUG_PAGE + VUG_DATA_MAX)
#define VUG_QUEUE_BYTES (VUG_RING_BYTES + VUG_SLOTS_MAX * VUG_SLOT_BYTES)

/* A place for a request; in flight from vug_offer() to vug_reap(). */
struct vug_slot {
	uint16_t head;
	bool busy;
	uint32_t type;
	uint64_t sector;
	uint32_t len;
	uint64_t addr; /* guest physical, of its memory */
	uint8_t *data;
	uint8_t status; /* after vug_reap() */
	uint64_t user;	/* the caller's */
};

struct vug_queue {
	struct vug_memory *memory;
	uint32_t index;
	uint16_t num;
	bool event_idx, indirect;
	uint32_t segment_max; /* bytes of a descriptor of data; VUG_DATA_MAX: one descriptor */
	uint64_t desc_addr, avail_addr, used_addr;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail; /* published as soon as vug_publish() was called */
	uint16_t published;
	uint16_t last_used;
	int kick_fd, call_fd, err_fd;
	struct vug_slot slots[VUG_SLOTS_MAX];
	unsigned int slot_count, busy;
};

/**
 * vug_queue_init() - an empty ring of @num descriptors in VUG_QUEUE_BYTES from @addr on
 *
 * @event_idx, @indirect and @segment_max may be set before the first request.
 */
int __must_check vug_queue_init(struct vug_queue *q, struct vug_memory *memory, uint32_t index,
				uint16_t num, uint64_t addr);
void vug_queue_exit(struct vug_queue *q);

/** vug_queue_reset() - an empty ring again, with nothing in flight */
void vug_queue_reset(struct vug_queue *q);

/** vug_used_idx() - the used index as the back end wrote it */
uint16_t vug_used_idx(const struct vug_queue *q);

/* Messages about a queue. */
int __must_check vug_send_num(const struct vug_queue *q, struct vuc *c);
int __must_check vug_send_addr(const struct vug_queue *q, struct vuc *c, bool logged);
int __must_check vug_send_base(const struct vug_queue *q, struct vuc *c);
int __must_check vug_send_kick(const struct vug_queue *q, struct vuc *c);
int __must_check vug_send_call(const struct vug_queue *q, struct vuc *c);
int __must_check vug_send_err(const struct vug_queue *q, struct vuc *c);
int __must_check vug_send_enable(const struct vug_queue *q, struct vuc *c, bool enable);

/** vug_send_start() - all messages that start a ring, as QEMU orders them; and a kick */
int __must_check vug_send_start(const struct vug_queue *q, struct vuc *c);

/** vug_slot_get() - a free slot, or NULL; busy from vug_offer() on */
struct vug_slot *vug_slot_get(struct vug_queue *q);

/** vug_offer() - put a request into the avail ring; its data, if it is a write, are in @slot->data */
void vug_offer(struct vug_queue *q, struct vug_slot *slot, uint32_t type, uint64_t sector,
	       uint32_t len);

/** vug_offer_range() - the same for a discard or write zeroes of @sectors */
void vug_offer_range(struct vug_queue *q, struct vug_slot *slot, uint32_t type, uint64_t sector,
		     uint32_t sectors);

/** vug_publish() - make visible what was offered, and kick where the back end wants it */
void vug_publish(struct vug_queue *q);
void vug_kick(const struct vug_queue *q);

/**
 * vug_reap() - take the next used entry
 *
 * Return: 1: @slot has its status and its data; 0: there is none; -EPROTO: the entry is of no request
 * in flight, or its length is wrong
 */
int __must_check vug_reap(struct vug_queue *q, struct vug_slot **slot);

/** vug_arm() - ask for an interrupt at the next entry. Return: there is one already */
bool vug_arm(struct vug_queue *q);

/** vug_irq_clear() - empty the call eventfd. Return: it was not empty */
bool vug_irq_clear(const struct vug_queue *q);

/**
 * vug_wait() - the next request that comes back, within @ms
 *
 * Return: 0; -ETIMEDOUT; -ENOMSG: it came back without an interrupt; -EPROTO as vug_reap()
 */
int __must_check vug_wait(struct vug_queue *q, struct vug_slot **slot, unsigned int ms);

/**
 * vug_do() - one request, to its end; nothing else is in flight
 *
 * @data: written or read, @len bytes. Return: its status; or as vug_wait()
 */
int __must_check vug_do(struct vug_queue *q, uint32_t type, uint64_t sector, void *data,
			uint32_t len, unsigned int ms);

#endif
