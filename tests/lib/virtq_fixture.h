/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib/virtq.c and the driver of tests/lib/guest.c, face to face: one queue, one guest, and steps
 * that check what must hold whatever happens. All tests of virtq stand on it; the queue lives from
 * vq_start() to vq_teardown().
 */
#ifndef TESTS_VIRTQ_FIXTURE_H
#define TESTS_VIRTQ_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "guest.h"
#include "test_log.h"
#include "virtq.h"

/* Loop tests run over {shape of memory} x {direct, indirect} x {flags, event index}. */
#define COMBOS		   (GUEST_SHAPES * 4)
#define COMBO_SHAPE(i)	   ((enum guest_shape)((i) % GUEST_SHAPES))
#define COMBO_INDIRECT(i)  ((i) / GUEST_SHAPES % 2)
#define COMBO_EVENT_IDX(i) ((i) / GUEST_SHAPES / 2 % 2)

/* Places in the data area, apart enough for every shape. */
#define OUT    (GUEST_DATA)
#define IN     (GUEST_DATA + 0x200)
#define STATUS (GUEST_DATA + 0x400)
#define TABLE  (GUEST_DATA + 0x500)

extern struct guest *g;
extern struct virtq vq;
extern struct virtq_chain chain;      /* of the latest vq_pop() */
extern uint32_t vq_popped, vq_pushed; /* since the latest start */

/** vq_start() - a guest of the kind that @combo says, an empty ring, both sides at index @first */
void vq_start(int combo, uint16_t num, uint16_t first);

/** vq_restart() - the same from an empty ring */
void vq_restart(uint16_t first);
void vq_stop(void);
void vq_teardown(void);

/** vq_layout() - where the guest has its ring */
struct virtq_layout vq_layout(bool indirect);

/** vq_check_counters() - taken, given back, in flight: do they agree? */
void vq_check_counters(void);

/* virtq_pop() and virtq_push(), counted and checked. */
int vq_pop(void);
void vq_push(uint16_t head, uint32_t len);

/** vq_take() - pop @head, which the driver made; check all of it, and answer */
void vq_take(int head);

/* The parts of vq_take(): look at all of @chain, which is @head; fill what may be written. */
void vq_check_chain(int head);
void vq_write_in_part(int head);

/** vq_finish() - push @head with all that vq_take() wrote */
void vq_finish(int head);

/** vq_reap() - the driver takes back @head, next in line, with everything the device wrote */
void vq_reap(int head);
void vq_publish_all(void);

/**
 * vq_check_pieces() - are the pieces of one direction exactly the bytes of @segs, in order?
 *
 * Return: behind the last piece
 */
const struct iovec *vq_check_pieces(const struct iovec *piece, uint32_t count,
				    const struct chain_part *segs, size_t seg_count, bool in);

/** vq_check_against_model() - is @chain, of @head, what the specification makes of the ring? */
void vq_check_against_model(uint16_t head);

/** vq_expect_used() - the latest used entry, and the index behind it */
void vq_expect_used(uint16_t idx, uint16_t head, uint32_t len);

/** vq_check_good_chain() - a ring of 8 lives: a good chain is served, as number @used_idx */
void vq_check_good_chain(uint16_t used_idx);

#endif
