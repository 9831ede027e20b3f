// SPDX-License-Identifier: GPL-2.0-or-later
/* Rings that are none, configuration space, and eventfds that block or never end. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"
#include "native.h"

/* A ring that is started with these. */
struct bad_ring {
	const char *name;
	uint32_t num;
	uint32_t base;
	int64_t desc, avail, used; /* added to what it should be */
};

#define GUEST_END 0x700000000000ll

static const struct bad_ring bad_rings[] = {
	{ "num 0", 0, 0, 0, 0, 0 },
	{ "num 1", 1, 0, 0, 0, 0 },
	{ "num 3", 3, 0, 0, 0, 0 },
	{ "num 32768", 32768, 0, 0, 0, 0 },
	{ "num 65535", 65535, 0, 0, 0, 0 },
	{ "num 65536", 65536, 0, 0, 0, 0 },
	{ "num of 32 bits", UINT32_MAX, 0, 0, 0, 0 },
	{ "base ahead", 128, 77, 0, 0, 0 },
	{ "base behind", 128, 65000, 0, 0, 0 },
	{ "base of 32 bits", 128, UINT32_MAX, 0, 0, 0 },
	{ "descriptors nowhere", 128, 0, GUEST_END, 0, 0 },
	{ "avail ring nowhere", 128, 0, 0, GUEST_END, 0 },
	{ "used ring nowhere", 128, 0, 0, 0, GUEST_END },
	{ "descriptors not aligned", 128, 0, 8, 0, 0 },
	{ "avail ring not aligned", 128, 0, 0, 1, 0 },
	{ "used ring not aligned", 128, 0, 0, 0, 2 },
	{ "descriptors across the end", 128, 0, 0x40000000, 0, 0 },
	{ "used ring on the descriptors", 128, 0, 0, 0, -0xc000 },
	{ "used ring on the avail ring", 128, 0, 0, 0, -0x4000 },
};

static int start_ring(struct session *s, const struct vug_queue *q, const struct bad_ring *bad)
{
	struct vuc_vring_addr addr = {
		.index = q->index,
		.desc = vug_user_addr(q->memory, q->desc_addr) + (uint64_t)bad->desc,
		.avail = vug_user_addr(q->memory, q->avail_addr) + (uint64_t)bad->avail,
		.used = vug_user_addr(q->memory, q->used_addr) + (uint64_t)bad->used,
	};
	int err = vuc_set_state(&s->c, VUC_SET_VRING_NUM, q->index, bad->num);

	if (!err)
		err = vuc_set_state(&s->c, VUC_SET_VRING_BASE, q->index, bad->base);
	if (!err)
		err = vuc_tell(&s->c, VUC_SET_VRING_ADDR,
			       &(struct vuc_send){ .payload = &addr, .size = sizeof(addr) });
	if (!err)
		err = vug_send_kick(q, &s->c);
	if (!err)
		err = vug_send_call(q, &s->c);
	return err ? err : vug_send_enable(q, &s->c, true);
}

static void bad_rings_are_started(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_rings); i++) {
		where("ring: %s", bad_rings[i].name);
		hostile_open(&s, b, RUNNING);
		must(vuc_get_vring_base(&s.c, 0, &(uint32_t){ 0 }), "GET_VRING_BASE");
		hostile_do(start_ring(&s, &s.queues[0], &bad_rings[i]));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* While it runs. */
static void rings_are_moved(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_rings); i++) {
		where("running ring: %s", bad_rings[i].name);
		hostile_open(&s, b, RUNNING);
		hostile_kick(&s);
		hostile_do(start_ring(&s, &s.queues[0], &bad_rings[i]));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* Queues that the disk does not have. */
static void bad_indices(struct bench *b)
{
	static const uint32_t requests[] = { VUC_SET_VRING_NUM, VUC_SET_VRING_BASE,
					     VUC_GET_VRING_BASE, VUC_SET_VRING_ENABLE };
	static const uint32_t indices[] = { 2, 3, 8, 255, 256, 1000, 1u << 31, UINT32_MAX };
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(requests) * ARRAY_SIZE(indices); i++) {
		uint32_t index = indices[i / ARRAY_SIZE(requests)];
		uint32_t request = requests[i % ARRAY_SIZE(requests)];
		struct vuc_vring_state state = { .index = index, .num = 1 };
		struct vuc_message reply;

		where("message %u, index %u", request, index);
		hostile_open(&s, b, RUNNING);
		if (request == VUC_GET_VRING_BASE)
			hostile_do(vuc_ask(
				&s.c, request,
				&(struct vuc_send){ .payload = &state, .size = sizeof(state) },
				&reply));
		else
			hostile_do(vuc_set_state(&s.c, request, index, 1));
		hostile_end(&s);
	}
	for (uint32_t index = 2; index < 256; index += 50) {
		where("eventfds of queue %u", index);
		hostile_open(&s, b, RUNNING);
		hostile_do(vuc_set_vring_fd(&s.c, VUC_SET_VRING_CALL, index, b->fds[FD_EVENT]));
		hostile_end(&s);
	}
}

/* As pieces_are_missing() has it, with none missing. */
static int start_all(struct session *s)
{
	uint64_t features = (1ull << VIRTIO_F_VERSION_1) | (1ull << VUC_F_PROTOCOL);
	int err = vuc_set_u64(&s->c, VUC_SET_FEATURES, features);

	if (!err)
		err = vug_memory_send(&s->memory, &s->c);
	return err ? err : vug_send_start(&s->queues[0], &s->c);
}

/* Calls that block who writes them, and kicks that never end. */
static void eventfds_that_block(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < FD_KINDS; i++) {
		where("call of kind %u", i);
		hostile_open(&s, b, RUNNING);
		hostile_do(vuc_set_vring_fd(&s.c, VUC_SET_VRING_CALL, 0, b->fds[i]));
		for (unsigned int n = 0; n < 8; n++)
			hostile_kick(&s);
		hostile_end(&s);
		where("kick of kind %u", i);
		hostile_open(&s, b, RUNNING);
		hostile_do(vuc_set_vring_fd(&s.c, VUC_SET_VRING_KICK, 0, b->fds[i]));
		for (unsigned int n = 0; n < 8; n++)
			hostile_kick(&s);
		hostile_end(&s);
		where("kick and call of kind %u from the start", i);
		hostile_open(&s, b, GREETED);
		close(s.queues[0].kick_fd);
		close(s.queues[0].call_fd);
		s.queues[0].kick_fd = dup(b->fds[i]);
		s.queues[0].call_fd = dup(b->fds[i]);
		hostile_do(start_all(&s));
		hostile_end(&s);
	}
}

static void config_bounds(struct bench *b)
{
	static const struct {
		uint32_t offset, size, bytes;
	} bad[] = {
		{ 0, 0, 0 },
		{ 0, 60, 0 },
		{ 0, 60, 59 },
		{ 0, 60, 61 },
		{ 0, 257, 257 },
		{ 256, 1, 1 },
		{ 255, 2, 2 },
		{ 200, 100, 100 },
		{ UINT32_MAX, 1, 1 },
		{ 1, UINT32_MAX, 1 },
		{ UINT32_MAX, UINT32_MAX, 256 },
		{ 0, 4000, 4000 },
		{ 59, 1, 1 },
		{ 60, 8, 8 },
		{ 0, 256, 256 },
	};
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad) * 2; i++) {
		uint32_t request = i % 2 ? VUC_SET_CONFIG : VUC_GET_CONFIG;
		uint8_t payload[VUC_PAYLOAD_MAX] = { 0 };
		struct vuc_config *config = (struct vuc_config *)payload;

		where("message %u, range %u", request, i / 2);
		hostile_open(&s, b, RUNNING);
		config->offset = bad[i / 2].offset;
		config->size = bad[i / 2].size;
		must(vuc_send(&s.c, request,
			      &(struct vuc_send){ .payload = payload,
						  .size = VUC_CONFIG_HEADER + bad[i / 2].bytes }),
		     "send");
		hostile_end(&s);
	}
}

/* What is not there yet: rings are started piece by piece, each piece left out once. */
static void pieces_are_missing(struct bench *b)
{
	struct session s;

	for (unsigned int missing = 0; missing < 8; missing++) {
		struct vug_queue *q;
		int err = 0;

		where("start without piece %u", missing);
		hostile_open(&s, b, GREETED);
		q = &s.queues[0];
		if (missing != 0)
			err = vuc_set_u64(&s.c, VUC_SET_FEATURES,
					  (1ull << VIRTIO_F_VERSION_1) | (1ull << VUC_F_PROTOCOL));
		if (!err && missing != 1)
			err = vug_memory_send(&s.memory, &s.c);
		if (!err && missing != 2)
			err = vug_send_num(q, &s.c);
		if (!err && missing != 3)
			err = vug_send_addr(q, &s.c, false);
		if (!err && missing != 4)
			err = vug_send_base(q, &s.c);
		if (!err && missing != 5)
			err = vug_send_call(q, &s.c);
		if (!err && missing != 6)
			err = vug_send_kick(q, &s.c);
		if (!err && missing != 7)
			err = vug_send_enable(q, &s.c, true);
		hostile_do(err);
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* What the driver writes into a ring: heads out of range, the same twice, indices that jump. */
static void bad_heads(struct bench *b)
{
	struct session s;

	for (unsigned int way = 0; way < 6; way++) {
		struct vug_queue *q;

		where("driver of way %u", way);
		hostile_open(&s, b, RUNNING);
		q = &s.queues[0];
		for (unsigned int i = 0; i < 8; i++)
			q->avail->ring[(q->next_avail + i) % q->num] = (uint16_t)(way == 0 ? 0xffff
										  : way == 1
											  ? q->num
										  : way == 2 ? 0
											     : i);
		if (way == 3)
			q->next_avail += q->num + 1;
		else if (way == 4)
			q->next_avail -= 1;
		else
			q->next_avail += 8;
		vug_publish(q);
		vug_kick(q);
		if (way == 5)
			hostile_do(vuc_get_vring_base(&s.c, 0, &(uint32_t){ 0 }));
		hostile_end(&s);
	}
}

const struct hostile_case ring_cases[] = {
	{ "bad-rings", bad_rings_are_started },
	{ "rings-move", rings_are_moved },
	{ "bad-indices", bad_indices },
	{ "eventfds", eventfds_that_block },
	{ "config-bounds", config_bounds },
	{ "missing-pieces", pieces_are_missing },
	{ "bad-heads", bad_heads },
	{ 0 },
};
