// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every message truncated, oversized, repeated, too early, with other flags, with descriptors that are
 * missing, too many or of the wrong kind.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hostile.h"
#include "native.h"

#define REQUESTS VUC_REQUEST_END
#define FDS_MANY 32

/* A message as a good front end sends it. */
struct letter {
	struct vuc_header header;
	uint8_t payload[VUC_PAYLOAD_MAX];
	size_t size; /* of all that is sent; 0: what the header says */
	int fds[FDS_MANY];
	unsigned int fd_count;
};

static void put(struct letter *l, const void *payload, uint32_t size)
{
	memcpy(l->payload, payload, size);
	l->header.size = size;
}

static void put_u64(struct letter *l, uint64_t value)
{
	put(l, &value, sizeof(value));
}

static void put_fd(struct letter *l, int fd)
{
	l->fds[l->fd_count++] = fd;
}

/* Above all regions of a session. */
static struct vuc_region some_region(void)
{
	return (struct vuc_region){ .guest_addr = 0x400000000ull,
				    .size = FD_BYTES,
				    .user_addr = 0x10000000000ull };
}

static void write_vring(struct letter *l, const struct session *s)
{
	const struct vug_queue *q = &s->queues[0];
	struct vuc_vring_addr addr = { 0 };

	if (s->queue_count)
		addr = (struct vuc_vring_addr){ .desc = vug_user_addr(&s->memory, q->desc_addr),
						.avail = vug_user_addr(&s->memory, q->avail_addr),
						.used = vug_user_addr(&s->memory, q->used_addr) };
	put(l, &addr, sizeof(addr));
}

static void write_fd_message(struct letter *l, const struct bench *b, uint32_t request)
{
	struct vuc_inflight inflight = { .mmap_size = FD_BYTES,
					 .num_queues = 2,
					 .queue_size = 128 };
	struct vuc_memory_slot slot = { .region = some_region() };
	struct vuc_log log = { .mmap_size = FD_BYTES };

	switch (request) {
	case VUC_SET_MEM_TABLE:
		put(l, &(struct vuc_memory){ .count = 1, .regions = { some_region() } }, 40);
		break;
	case VUC_ADD_MEM_REG:
		put(l, &slot, sizeof(slot));
		break;
	case VUC_SET_LOG_BASE:
		put(l, &log, sizeof(log));
		break;
	case VUC_SET_INFLIGHT_FD:
		put(l, &inflight, sizeof(inflight));
		break;
	case VUC_SET_DEVICE_STATE_FD:
		put(l, &(struct vuc_device_state){ 0 }, sizeof(struct vuc_device_state));
		put_fd(l, b->fds[FD_PIPE_READ]);
		return;
	}
	put_fd(l, b->fds[FD_MEMORY]);
}

static void write_letter(struct letter *l, const struct bench *b, const struct session *s,
			 uint32_t request)
{
	struct vuc_inflight inflight = { .num_queues = 2, .queue_size = 128 };
	struct vuc_memory_slot slot = { .region = some_region() };
	struct vuc_config config = { .size = 60 };

	*l = (struct letter){ .header = { .request = request, .flags = VUC_VERSION } };
	switch (request) {
	case VUC_SET_FEATURES:
		put_u64(l, s->features);
		break;
	case VUC_SET_PROTOCOL_FEATURES:
		put_u64(l, s->c.protocol);
		break;
	case VUC_SET_VRING_NUM:
		put(l, &(struct vuc_vring_state){ .num = 128 }, 8);
		break;
	case VUC_SET_VRING_BASE:
	case VUC_GET_VRING_BASE:
	case VUC_SET_VRING_ENABLE:
		put(l, &(struct vuc_vring_state){ 0 }, 8);
		break;
	case VUC_SET_VRING_ADDR:
		write_vring(l, s);
		break;
	case VUC_SET_VRING_KICK:
	case VUC_SET_VRING_CALL:
	case VUC_SET_VRING_ERR:
		put_u64(l, 0);
		put_fd(l, b->fds[FD_EVENT]);
		break;
	case VUC_SET_BACKEND_REQ_FD:
	case VUC_SET_LOG_FD:
		put_fd(l, b->fds[FD_SOCKET]);
		break;
	case VUC_GET_CONFIG:
	case VUC_SET_CONFIG:
		put(l, &config, VUC_CONFIG_HEADER + 60);
		break;
	case VUC_GET_INFLIGHT_FD:
		put(l, &inflight, sizeof(inflight));
		break;
	case VUC_REM_MEM_REG:
		put(l, &slot, sizeof(slot));
		break;
	case VUC_SET_STATUS:
		put_u64(l, 0);
		break;
	case VUC_SET_MEM_TABLE:
	case VUC_ADD_MEM_REG:
	case VUC_SET_LOG_BASE:
	case VUC_SET_INFLIGHT_FD:
	case VUC_SET_DEVICE_STATE_FD:
		write_fd_message(l, b, request);
		break;
	}
}

static void send_letter(struct session *s, const struct letter *l)
{
	size_t size = l->size ? l->size : sizeof(l->header) + l->header.size;
	int err = vuc_send_bytes(&s->c, l, MIN(size, sizeof(l->header) + sizeof(l->payload)),
				 l->fds, l->fd_count);

	want(err == 0 || err == -ECONNRESET, "send: %s", strerror(-err));
}

/* ---- what is wrong with it ---- */

static void half_a_header(struct letter *l, const struct bench *b)
{
	(void)b;
	l->size = 6;
}

static void half_a_payload(struct letter *l, const struct bench *b)
{
	(void)b;
	l->size = sizeof(l->header) + MAX(l->header.size, 8u) / 2;
	l->header.size = MAX(l->header.size, 8u);
}

static void one_byte_less(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.size = l->header.size ? l->header.size - 1 : 0;
}

static void no_payload(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.size = 0;
}

static void one_byte_more(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.size++;
}

static void largest_payload(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.size = VUC_PAYLOAD_MAX;
}

static void size_beyond_reason(struct letter *l, const struct bench *b)
{
	(void)b;
	l->size = sizeof(l->header) + l->header.size;
	l->header.size = UINT32_MAX;
}

static void version_0(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.flags = 0;
}

static void version_3(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.flags = 3;
}

static void is_a_reply(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.flags |= VUC_REPLY;
}

static void all_flags(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.flags = UINT32_MAX;
}

static void needs_reply(struct letter *l, const struct bench *b)
{
	(void)b;
	l->header.flags |= VUC_NEED_REPLY;
}

static void no_descriptor(struct letter *l, const struct bench *b)
{
	(void)b;
	l->fd_count = 0;
}

static void one_descriptor_more(struct letter *l, const struct bench *b)
{
	put_fd(l, b->fds[FD_EVENT]);
}

static void many_descriptors(struct letter *l, const struct bench *b)
{
	while (l->fd_count < FDS_MANY)
		put_fd(l, b->fds[l->fd_count % FD_KINDS]);
}

static void all_ones(struct letter *l, const struct bench *b)
{
	(void)b;
	memset(l->payload, 0xff, l->header.size);
}

static void all_zeroes(struct letter *l, const struct bench *b)
{
	(void)b;
	memset(l->payload, 0, l->header.size);
}

static void as_it_should_be(struct letter *l, const struct bench *b)
{
	(void)l;
	(void)b;
}

static void each_message(struct bench *b, void (*spoil)(struct letter *l, const struct bench *b),
			 unsigned int times, enum stage stage)
{
	struct session s;
	struct letter l;

	for (uint32_t request = 0; request < REQUESTS; request++) {
		where("message %u, stage %d", request, stage);
		hostile_open(&s, b, stage);
		write_letter(&l, b, &s, request);
		spoil(&l, b);
		for (unsigned int i = 0; i < times; i++)
			send_letter(&s, &l);
		hostile_kick(&s);
		hostile_end(&s);
	}
}

static void at_each_stage(struct bench *b, void (*spoil)(struct letter *l, const struct bench *b),
			  unsigned int times)
{
	for (enum stage stage = CONNECTED; stage < STAGES; stage++)
		each_message(b, spoil, times, stage);
}

/* Any descriptor in the place of each. */
static void each_kind_of_descriptor(struct bench *b)
{
	static const uint32_t requests[] = {
		VUC_SET_MEM_TABLE,   VUC_ADD_MEM_REG,	     VUC_SET_LOG_BASE,
		VUC_SET_VRING_KICK,  VUC_SET_VRING_CALL,     VUC_SET_VRING_ERR,
		VUC_SET_INFLIGHT_FD, VUC_SET_BACKEND_REQ_FD, VUC_SET_DEVICE_STATE_FD,
	};
	struct session s;
	struct letter l;

	for (unsigned int i = 0; i < ARRAY_SIZE(requests) * FD_KINDS; i++) {
		uint32_t request = requests[i / FD_KINDS];

		where("message %u, descriptor of kind %u", request, i % FD_KINDS);
		hostile_open(&s, b, RUNNING);
		write_letter(&l, b, &s, request);
		l.fds[0] = b->fds[i % FD_KINDS];
		send_letter(&s, &l);
		hostile_kick(&s);
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* splitmix64 */
static uint64_t roll(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void spoil_at_random(struct letter *l, const struct bench *b, uint64_t *dice)
{
	for (unsigned int n = roll(dice) % 4; n; n--)
		l->payload[roll(dice) % MAX(l->header.size, 1u)] = (uint8_t)roll(dice);
	if (roll(dice) % 8 == 0)
		l->header.size = (uint32_t)(roll(dice) % 64);
	if (roll(dice) % 8 == 0)
		l->header.flags = (uint32_t)roll(dice) & 0xf;
	if (roll(dice) % 4 == 0)
		l->fd_count = roll(dice) % 4;
	for (unsigned int i = 0; i < l->fd_count; i++)
		if (l->fds[i] <= 0 || roll(dice) % 4 == 0)
			l->fds[i] = b->fds[roll(dice) % FD_KINDS];
}

#define RANDOM_SESSIONS 200u
#define RANDOM_MESSAGES 30u

static void random_messages(struct bench *b)
{
	uint64_t dice = 1;
	struct session s;
	struct letter l;

	for (unsigned int i = 0; i < RANDOM_SESSIONS; i++) {
		where("random session %u", i);
		hostile_open(&s, b, (enum stage)(roll(&dice) % STAGES));
		for (unsigned int n = 0; n < RANDOM_MESSAGES; n++) {
			write_letter(&l, b, &s, (uint32_t)(roll(&dice) % REQUESTS));
			spoil_at_random(&l, b, &dice);
			send_letter(&s, &l);
			if (roll(&dice) % 4 == 0)
				hostile_kick(&s);
		}
		hostile_end(&s);
	}
}

#define EACH_MESSAGE(name, times)                                                                  \
	static void case_##name(struct bench *b)                                                   \
	{                                                                                          \
		at_each_stage(b, name, times);                                                     \
	}
EACH_MESSAGE(as_it_should_be, 3)
EACH_MESSAGE(half_a_header, 1)
EACH_MESSAGE(half_a_payload, 1)
EACH_MESSAGE(one_byte_less, 1)
EACH_MESSAGE(no_payload, 1)
EACH_MESSAGE(one_byte_more, 1)
EACH_MESSAGE(largest_payload, 1)
EACH_MESSAGE(size_beyond_reason, 1)
EACH_MESSAGE(version_0, 1)
EACH_MESSAGE(version_3, 1)
EACH_MESSAGE(is_a_reply, 1)
EACH_MESSAGE(all_flags, 1)
EACH_MESSAGE(needs_reply, 2)
EACH_MESSAGE(no_descriptor, 1)
EACH_MESSAGE(one_descriptor_more, 1)
EACH_MESSAGE(many_descriptors, 1)
EACH_MESSAGE(all_ones, 1)
EACH_MESSAGE(all_zeroes, 1)

const struct hostile_case message_cases[] = {
	{ "repeated", case_as_it_should_be },
	{ "half-a-header", case_half_a_header },
	{ "half-a-payload", case_half_a_payload },
	{ "one-byte-less", case_one_byte_less },
	{ "no-payload", case_no_payload },
	{ "one-byte-more", case_one_byte_more },
	{ "largest-payload", case_largest_payload },
	{ "size-beyond-reason", case_size_beyond_reason },
	{ "version-0", case_version_0 },
	{ "version-3", case_version_3 },
	{ "is-a-reply", case_is_a_reply },
	{ "all-flags", case_all_flags },
	{ "needs-reply", case_needs_reply },
	{ "no-descriptor", case_no_descriptor },
	{ "one-descriptor-more", case_one_descriptor_more },
	{ "many-descriptors", case_many_descriptors },
	{ "all-ones", case_all_ones },
	{ "all-zeroes", case_all_zeroes },
	{ "kinds-of-descriptors", each_kind_of_descriptor },
	{ "random", random_messages },
	{ 0 },
};
