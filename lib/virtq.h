/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device side of a split virtqueue (virtio 1.3, 2.7).
 *
 * A queue belongs to one thread. Everything in the rings is written by a driver that may be
 * hostile: each field is read once into a local, and checks and use see the same local.
 *
 * Two kinds of damage are told apart. A chain that is ill-formed (a loop, an index out of range,
 * memory that is not mapped) is taken and reported with a fault, and must be pushed like any
 * other. A ring that is ill-formed (a head out of range, a head that is in flight, an avail index
 * that jumped) is broken: nothing more is taken from it until virtq_start().
 */
#ifndef LIB_VIRTQ_H
#define LIB_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "inflight.h"
#include "iotlb.h"

#define VIRTQ_MAX_SIZE 1024 /* largest queue we serve; also the longest chain we walk */

/* Pieces of memory one chain may fall into: a descriptor each, and room for region borders. */
#define VIRTQ_MAX_IOV (2 * VIRTQ_MAX_SIZE)

/* Where the driver put the rings. */
struct virtq_layout {
	uint16_t num;	 /* descriptors; a power of two up to VIRTQ_MAX_SIZE */
	uint64_t desc;	 /* IOVA of the descriptor table, 16 * num bytes */
	uint64_t driver; /* IOVA of the avail ring */
	uint64_t device; /* IOVA of the used ring */
	bool event_idx;	 /* VIRTIO_F_EVENT_IDX negotiated */
	bool indirect;	 /* VIRTIO_F_INDIRECT_DESC negotiated */
};

struct virtq {
	struct iotlb_view view;
	struct virtq_layout layout;
	uint16_t mask; /* num - 1 */

	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	const uint16_t *used_event; /* written by the driver: interrupt me past this one */
	uint16_t *avail_event;	    /* written by us: kick me past this one */

	uint16_t last_avail; /* next avail entry to take */
	uint16_t avail_seen; /* avail->idx as last read */
	uint16_t used_idx;   /* next used entry to write; ahead of used->idx until published */
	uint16_t published;  /* used->idx as the driver sees it */
	uint32_t in_flight;  /* taken and not pushed */
	bool broken;
	uint8_t taken[VIRTQ_MAX_SIZE / 8]; /* one bit per head that the driver must not use */

	uint16_t batch[VIRTQ_MAX_SIZE]; /* heads pushed and not published */
	uint32_t batch_count;
	struct inflight_vq *log;	 /* NULL: no record is kept */
	uint16_t replay[VIRTQ_MAX_SIZE]; /* heads put back, or left in flight by a dead server */
	uint32_t replay_next;
	uint32_t replay_count;
};

/*
 * One descriptor chain, in @iov: first @out_count pieces the driver filled, then @in_count pieces
 * we may fill. Both in order, none empty.
 */
struct virtq_chain {
	struct iovec *iov; /* caller's; VIRTQ_MAX_IOV entries */
	uint32_t out_count;
	uint32_t in_count;
	size_t out_bytes;
	size_t in_bytes;
	uint8_t *last_in; /* last byte we may write, NULL where there is none or it is not mapped */
	uint16_t head;
	int fault; /* 0, or why the data must not be used: -EFAULT not mapped, -EPROTO ill-formed;
		    * then @iov, and so the counts of pieces, are not complete */
};

/** virtq_init() - a stopped queue; @tlb must outlive it */
void virtq_init(struct virtq *vq, struct iotlb *tlb);
void virtq_exit(struct virtq *vq);

/** virtq_set_log() - keep a record of what is in flight, from the next start on; outlives @vq */
void virtq_set_log(struct virtq *vq, struct inflight_vq *log);

/**
 * virtq_start() - map the rings and begin at @next_avail
 * @next_avail: avail index to take first; the used index goes on from what the ring says
 *
 * Return: 0; -EINVAL: size or alignment of the layout; -EFAULT: a ring is not mapped as a whole
 *         (a ring across two regions counts as that); other -errno: we could not map it
 */
int __must_check virtq_start(struct virtq *vq, const struct virtq_layout *layout,
			     uint16_t next_avail);

/**
 * virtq_recover() - map the rings and go on where a dead server stopped; needs a log
 *
 * Heads that were in flight come out of virtq_pop() first, in the order they were taken.
 *
 * Return: how many such heads; as virtq_start(); -EINVAL also: the log is not of this ring
 */
int __must_check virtq_recover(struct virtq *vq, const struct virtq_layout *layout);

/**
 * virtq_recover_blind() - virtq_recover() where no log was kept: writes one first
 *
 * What a dead server had given back can only be told from the ring if it did so in the order of the
 * avail ring. -EINVAL also: it did not, as far as can be seen
 */
int __must_check virtq_recover_blind(struct virtq *vq, const struct virtq_layout *layout);

/**
 * virtq_stop() - the driver forgets the rings; nothing is in flight
 *
 * The log stays as it is: until the kernel has taken the reset, a restarted server is told that the
 * driver runs, and must find out that everything was published.
 */
void virtq_stop(struct virtq *vq);

/** virtq_remap() - map the rings again after iotlb_drop(); indices stay. Return: virtq_start() */
int __must_check virtq_remap(struct virtq *vq);

/**
 * virtq_pop() - take the next chain the driver made available
 * @vq:    started queue; call only from its owning thread
 * @chain: @chain->iov set by the caller; the rest is filled, and valid until the next virtq_pop()
 *
 * Never allocates. System call only when the iotlb misses.
 *
 * Return:  1  one chain taken; exactly one virtq_push() of its head must follow, whatever its
 *             @fault says
 *          0  nothing available
 *    -EPROTO  the driver broke the ring; the queue is dead, push what is in flight and no more
 */
int __must_check virtq_pop(struct virtq *vq, struct virtq_chain *chain);

/**
 * virtq_push() - give one chain back
 * @head: of a chain taken from this queue and not pushed yet
 * @len:  bytes written from the beginning of the chain's writable part
 *
 * The driver sees it after virtq_publish().
 */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len);

/**
 * virtq_put_back() - undo the virtq_pop() of @head: it will come again, read anew
 *
 * For a request that was given up before it had an effect that the driver knows of, because the
 * driver's memory is about to move.
 */
void virtq_put_back(struct virtq *vq, uint16_t head);

/** virtq_replays_left() - how many chains have been taken that virtq_pop() will return (once more)? */
static inline uint32_t virtq_replays_left(const struct virtq *vq)
{
	return vq->replay_count - vq->replay_next;
}

/**
 * virtq_publish() - show the driver everything pushed so far
 *
 * Return: true where the driver wants an interrupt for it
 */
bool __must_check virtq_publish(struct virtq *vq);

/** virtq_suppress_kicks() - ask the driver not to kick while we look at the ring by ourselves */
void virtq_suppress_kicks(struct virtq *vq);

/**
 * virtq_want_kick() - ask for a kick at the next chain, before going to sleep
 *
 * Return: true where a chain arrived meanwhile, for which no kick may come: drain again
 */
bool __must_check virtq_want_kick(struct virtq *vq);

/** virtq_has_work() - would virtq_pop() find something? One load; for polling. */
bool virtq_has_work(struct virtq *vq);

#endif
