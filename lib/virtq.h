/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device side of a split virtqueue (virtio 1.3, 2.7).
 *
 * A queue belongs to one thread. The driver that writes the rings may be hostile: each field is
 * read once into a local variable, and that variable is checked and used.
 *
 * There are two kinds of errors. An invalid chain (a loop, an index out of range, memory that is
 * not mapped) is popped with a fault, and must be pushed like any other chain. An invalid ring (a
 * head out of range, a head that is in flight, an avail index that jumped) makes the queue broken:
 * no chain is popped until virtq_start().
 */
#ifndef LIB_VIRTQ_H
#define LIB_VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "dirty_log.h"
#include "inflight.h"
#include "iotlb.h"

#define VIRTQ_MAX_SIZE 1024 /* largest queue we serve; also the longest chain we walk */

/* The most pieces of memory of a chain: one for each descriptor, and more at borders of regions. */
#define VIRTQ_MAX_IOV (2 * VIRTQ_MAX_SIZE)

/* The addresses of the rings, as the driver set them. */
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
	const uint16_t *used_event; /* the driver wants an interrupt after this used index */
	uint16_t *avail_event;	    /* this process wants a kick after this avail index */

	uint16_t last_avail; /* next avail entry to pop */
	uint16_t avail_seen; /* avail->idx, as last read */
	uint16_t used_idx;   /* next used entry to write; ahead of used->idx until published */
	uint16_t published;  /* used->idx, as the driver sees it */
	uint32_t in_flight;  /* chains popped and not pushed */
	bool broken;
	uint8_t taken[VIRTQ_MAX_SIZE /
		      8]; /* one bit for each head that the driver must not reuse */

	uint16_t batch[VIRTQ_MAX_SIZE]; /* heads pushed and not published */
	uint32_t batch_count;
	const struct dirty_log *dirty;	 /* of a live migration; NULL: none */
	uint64_t dirty_used;		 /* guest physical address of the used ring */
	struct inflight_vq *log;	 /* inflight log; NULL: none */
	uint16_t replay[VIRTQ_MAX_SIZE]; /* heads put back, or in flight in a former server */
	uint32_t replay_next;
	uint32_t replay_count;
};

/*
 * One descriptor chain. @iov has first @out_count pieces to read, then @in_count pieces to write.
 * Both are in the order of the chain, and none is empty.
 */
struct virtq_chain {
	struct iovec *iov; /* owned by the caller; VIRTQ_MAX_IOV entries */
	uint32_t out_count;
	uint32_t in_count;
	size_t out_bytes;
	size_t in_bytes;
	uint8_t *last_in; /* the last writable byte; NULL: none, or not mapped */
	uint16_t head;
	int fault; /* 0; -EFAULT: memory is not mapped; -EPROTO: invalid chain. After a fault the
		    * data must not be used: @iov and the counts of pieces are incomplete */
};

/** virtq_init() - a stopped queue; @tlb must outlive it */
void virtq_init(struct virtq *vq, struct iotlb *tlb);
void virtq_exit(struct virtq *vq);

/** virtq_set_log() - use this inflight log from the next start on; it must outlive @vq */
void virtq_set_log(struct virtq *vq, struct inflight_vq *log);

/**
 * virtq_set_dirty_log() - log what this process writes to memory of the driver, from now on
 * @log:  NULL: no more. It must outlive @vq, or until the next call
 * @used: guest physical address of the used ring
 *
 * The IOVAs of the descriptors must be guest physical addresses.
 */
static inline void virtq_set_dirty_log(struct virtq *vq, const struct dirty_log *log, uint64_t used)
{
	vq->dirty = log;
	vq->dirty_used = used;
}

/**
 * virtq_start() - map the rings, and begin at @next_avail
 * @next_avail: avail index of the first chain to pop. The used index is read from the used ring
 *
 * Return: 0; -EINVAL: wrong size or alignment of the layout; -EFAULT: a ring is not mapped, or not
 *         in one region; other -errno: this process cannot map it
 */
int __must_check virtq_start(struct virtq *vq, const struct virtq_layout *layout,
			     uint16_t next_avail);

/**
 * virtq_recover() - map the rings, and adopt the queue of a former server; needs an inflight log
 *
 * virtq_pop() first returns the heads that were in flight, in the order in which they were popped.
 *
 * Return: the number of these heads; else as virtq_start(); -EINVAL also: the log does not match
 *         the ring
 */
int __must_check virtq_recover(struct virtq *vq, const struct virtq_layout *layout);

/**
 * virtq_recover_blind() - virtq_recover() without an inflight log: creates its contents first
 *
 * The rings alone show which chains the former server pushed only if it pushed them in the order of
 * the avail ring. Return: as virtq_recover(); -EINVAL also: it did not, as far as the rings show
 */
int __must_check virtq_recover_blind(struct virtq *vq, const struct virtq_layout *layout);

/**
 * virtq_stop() - after a reset by the driver, with nothing in flight
 *
 * The inflight log does not change: until the kernel has completed the reset, a restarted server
 * finds a running driver, and the log must show that everything was published.
 */
void virtq_stop(struct virtq *vq);

/** virtq_remap() - map the rings again after iotlb_drop(). Return: as virtq_start() */
int __must_check virtq_remap(struct virtq *vq);

/**
 * virtq_pop() - pop the next chain that the driver made available
 * @vq:    a started queue; call it on the queue's thread only
 * @chain: in: @iov; out: all other members, valid until the next virtq_pop()
 *
 * Never allocates. Makes a system call only after an IOTLB miss.
 *
 * Return:  1  a chain; exactly one virtq_push() of its head must follow, also after a @fault
 *          0  no chain is available
 *    -EPROTO  the ring is invalid, and the queue is broken; push only what is in flight
 */
int __must_check virtq_pop(struct virtq *vq, struct virtq_chain *chain);

/**
 * virtq_push() - give one chain back to the driver
 * @head: of a chain that is in flight
 * @len:  bytes written from the beginning of the chain's writable part; UINT32_MAX: that many or more
 *
 * The driver sees it after virtq_publish().
 */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len);

/**
 * virtq_put_back() - undo the virtq_pop() of @head: virtq_pop() will read and return it again
 *
 * For a request that was cancelled because the driver's memory is about to move.
 */
void virtq_put_back(struct virtq *vq, uint16_t head);

/** virtq_replays_left() - the number of heads in @replay that virtq_pop() has not returned yet */
static inline uint32_t virtq_replays_left(const struct virtq *vq)
{
	return vq->replay_count - vq->replay_next;
}

/**
 * virtq_publish() - make all pushed chains visible to the driver
 *
 * Return: does the driver want an interrupt for them?
 */
bool __must_check virtq_publish(struct virtq *vq);

/** virtq_suppress_kicks() - ask the driver not to kick, while this thread polls the ring */
void virtq_suppress_kicks(struct virtq *vq);

/**
 * virtq_want_kick() - ask the driver for a kick at the next chain, before this thread sleeps
 *
 * Return: true: a chain has arrived, perhaps without a kick: drain again
 */
bool __must_check virtq_want_kick(struct virtq *vq);

/** virtq_has_work() - would virtq_pop() return a chain? One load; for polling */
bool virtq_has_work(struct virtq *vq);

#endif
