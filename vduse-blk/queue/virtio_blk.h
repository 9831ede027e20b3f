/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device (virtio 1.3, 5.2): features, config space, and parsing of requests.
 *
 * No I/O, no ring, no threads. blk_req_parse() checks a request completely, and the code that
 * executes the request trusts the result.
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

/* The most ranges in a DISCARD or WRITE_ZEROES request. Linux uses no more. */
#define BLK_MAX_RANGES 256

/* Everything about a disk that its driver sees, in bytes. */
struct blk_limits {
	uint64_t size;		   /* may grow while requests are in flight: load_relaxed() */
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
	uint16_t seg_max;    /* data segments per request; 0: what a queue can hold */
	bool indirect;	     /* indirect descriptors are offered */
	bool guest_physical; /* the driver's addresses are guest physical: no IOMMU is offered */
	bool config_wce;     /* the driver may switch the write cache off and on */
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
	bool unmap; /* the driver permits to deallocate the space */
};

struct blk_req {
	enum blk_op op;
	uint64_t offset;   /* bytes; read and write */
	uint64_t len;	   /* bytes read, written, discarded or zeroed */
	struct iovec *iov; /* the data: a part of the chain's array, trimmed in place */
	uint32_t iov_count;
	uint32_t range_count; /* discard and write zeroes */
	uint8_t *status;      /* the status byte in driver memory; NULL: the chain has none */
	uint32_t used_len;    /* for virtq_push() after success */
};

/** virtio_blk_features() - the feature bits to offer for @limits, with those of the ring */
uint64_t virtio_blk_features(const struct blk_limits *limits);

/** virtio_blk_config() - the config space for @limits */
void virtio_blk_config(const struct blk_limits *limits, struct virtio_blk_config *config);

/**
 * blk_req_parse() - parse and check the request in a chain
 * @limits:   of the disk
 * @features: that the driver accepted
 * @chain:    from virtq_pop(); its pieces are trimmed to the data
 * @ranges:   out: BLK_MAX_RANGES entries, filled for discard and write zeroes
 * @req:      out: the request, if 0 is returned; else only @req->status is valid
 *
 * The header is the first 16 readable bytes and the status the last writable byte, however the
 * driver cut them into descriptors (virtio 1.3, 2.7.4.1).
 *
 * Return: 0: execute it; VIRTIO_BLK_S_IOERR or VIRTIO_BLK_S_UNSUPP: complete it with this status
 */
int __must_check blk_req_parse(const struct blk_limits *limits, uint64_t features,
			       struct virtq_chain *chain, struct blk_range *ranges,
			       struct blk_req *req);

/** blk_status() - VIRTIO_BLK_S_* for 0 or -errno */
uint8_t blk_status(int err);

#endif
