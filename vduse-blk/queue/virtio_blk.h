/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device (virtio 1.3, 5.2): what is offered, and what a request means.
 *
 * No I/O, no ring, no threads. blk_req_parse() checks a request fully before anything happens;
 * whoever executes it trusts the result.
 */
#ifndef VDUSE_BLK_VIRTIO_BLK_H
#define VDUSE_BLK_VIRTIO_BLK_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "virtq.h"

#define SECTOR_SIZE 512u /* unit of all sector numbers, whatever the block size */

/* Ranges in one DISCARD or WRITE_ZEROES request; also what Linux uses at most. */
#define BLK_MAX_RANGES 256

/* Everything about a disk that its driver sees, in bytes. */
struct blk_limits {
	uint64_t size;
	uint32_t logical_block;	   /* power of two, 512 ... 4096 */
	uint32_t physical_block;   /* power of two, >= logical_block */
	uint32_t alignment_offset; /* of physical blocks, below physical_block */
	uint32_t io_min;	   /* 0: none */
	uint32_t io_opt;	   /* 0: none */
	uint32_t discard_granularity;
	uint32_t discard_max; /* per range */
	uint32_t zeroes_max;  /* per range */
	uint16_t queues;
	uint16_t queue_size;
	bool indirect; /* descriptors may be in tables of their own */
	bool readonly;
	bool flush; /* has a volatile cache: FLUSH is offered */
	bool discard;
	bool write_zeroes;
	char serial[VIRTIO_BLK_ID_BYTES]; /* zero padded */
};

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES, BLK_GET_ID };

#define BLK_OPS (BLK_GET_ID + 1)

/* One range of a DISCARD or WRITE_ZEROES request, in bytes, checked. */
struct blk_range {
	uint64_t offset;
	uint64_t len;
	bool unmap; /* the driver allows the space to be given back */
};

struct blk_req {
	enum blk_op op;
	uint64_t offset;   /* bytes; read and write */
	uint64_t len;	   /* bytes read, written, discarded or zeroed */
	struct iovec *iov; /* the data; part of the chain's array, which parsing trims in place */
	uint32_t iov_count;
	uint32_t range_count; /* discard and write zeroes */
	uint8_t *status;      /* where the driver expects it; NULL: there is no such byte */
	uint32_t used_len;    /* what to push after success: bytes written from the beginning */
};

/** virtio_blk_features() - the feature bits that @limits mean, transport bits included */
uint64_t virtio_blk_features(const struct blk_limits *limits);

/** virtio_blk_config() - the config space that @limits mean */
void virtio_blk_config(const struct blk_limits *limits, struct virtio_blk_config *config);

/**
 * blk_req_parse() - what does a chain ask for, and may it?
 * @limits:   of the disk
 * @features: what the driver accepted
 * @chain:    as virtq_pop() gave it; its pieces are trimmed to the data
 * @ranges:   out: BLK_MAX_RANGES entries, filled for discard and write zeroes
 * @req:      out: valid to execute when 0 is returned; otherwise only @req->status is
 *
 * The header is the first 16 readable bytes and the status the last writable byte, however the
 * driver cut them into descriptors (virtio 1.3, 2.7.4.1).
 *
 * Return: 0: execute it; VIRTIO_BLK_S_IOERR or VIRTIO_BLK_S_UNSUPP: answer with that
 */
int __must_check blk_req_parse(const struct blk_limits *limits, uint64_t features,
			       struct virtq_chain *chain, struct blk_range *ranges,
			       struct blk_req *req);

/** blk_status() - VIRTIO_BLK_S_* for a result: 0 or -errno */
uint8_t blk_status(int err);

#endif
