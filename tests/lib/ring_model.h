/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a split ring means, by the letter of virtio 1.3, 2.7, and with no care for speed. It shares no code
 * with lib/virtq.c and lib/inflight.c. Unit tests and fuzz targets compare both with it.
 */
#ifndef TESTS_RING_MODEL_H
#define TESTS_RING_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver_ring.h"
#include "virtq.h"

/* ---- a chain ---- */

/* As many descriptors as one chain may have: all of the ring, then all of an indirect table. */
#define CHAIN_PARTS_MAX (2 * VIRTQ_MAX_SIZE)

struct chain_model {
	int fault; /* -EPROTO: not a chain; -EFAULT: a table that the device cannot read; 0 */
	bool in_before_out; /* a part that the device reads follows one that it writes */
	size_t out_bytes, in_bytes;
	uint32_t count;
	struct chain_part parts[CHAIN_PARTS_MAX]; /* in order, without those of length 0 */
};

/* Driver memory. @read: what the device may read. Return: false: it may not, or not all of it */
struct model_memory {
	bool (*read)(const void *ctx, uint64_t addr, void *to, size_t len);
	const void *ctx;
};

/** chain_model() - the chain that begins at @head; the descriptors of the ring must be readable */
void chain_model(struct chain_model *chain, const struct model_memory *memory,
		 const struct virtq_layout *layout, uint16_t head);

/* ---- heads, and what the inflight log has to know of them ---- */

enum head_state {
	HEAD_FREE,   /* the driver's */
	HEAD_REPLAY, /* the device's, to be popped again before anything new */
	HEAD_TAKEN,  /* popped, and not pushed */
	HEAD_PUSHED, /* pushed, and not published */
};

struct heads_model {
	uint16_t num;
	enum head_state state[VIRTQ_MAX_SIZE];
	uint64_t order[VIRTQ_MAX_SIZE]; /* in which heads were taken */
	uint64_t next_order;
	uint32_t taken, pushed; /* heads in this state */
};

/** heads_reset() - a ring of @num descriptors, all of them free */
void heads_reset(struct heads_model *heads, uint16_t num);

/** heads_take() - the head is popped; one that comes again keeps its place in the order */
void heads_take(struct heads_model *heads, uint16_t head);

/** heads_put_back() - a head that was taken is to be popped again */
void heads_put_back(struct heads_model *heads, uint16_t head);

/** heads_push() - a head that was taken is pushed */
void heads_push(struct heads_model *heads, uint16_t head);

/**
 * heads_publish() - all heads that are pushed are the driver's
 * @published: which they were, in the order of their numbers; may be NULL
 *
 * Return: how many
 */
uint32_t heads_publish(struct heads_model *heads, uint16_t *published);

/**
 * heads_crash() - the server is killed, and the next one reads the inflight log
 * @published: the first one had written used->idx for the heads that were pushed
 *
 * Return: how many heads the next server must pop again; they are in HEAD_REPLAY
 */
int heads_crash(struct heads_model *heads, bool published);

/** heads_check_replay() - are these heads all to be popped again, in the order in which they were taken? */
bool heads_check_replay(const struct heads_model *heads, const uint16_t *replay, int count);

#endif
