/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vduse-blk/queue/virtio_blk.c and chains built by hand, cut into pieces as a test likes. */
#ifndef TESTS_BLK_FIXTURE_H
#define TESTS_BLK_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/virtio_blk.h"

#define BIT(n)	  (1ull << (n))
#define HEADER	  sizeof(struct virtio_blk_outhdr)
#define RANGE	  sizeof(struct virtio_blk_discard_write_zeroes)
#define BYTES_MAX (HEADER + (BLK_MAX_RANGES + 1) * RANGE)
#define DISK	  (1ull << 20)
#define SECTORS	  (DISK / SECTOR_SIZE)
#define ALL	  UINT64_MAX
#define IOERR	  VIRTIO_BLK_S_IOERR
#define UNSUPP	  VIRTIO_BLK_S_UNSUPP

/* One direction of a chain: its bytes lie in pieces, with a gap after each. */
struct vb_side {
	uint8_t memory[2 * BYTES_MAX];
	uint8_t *flat[BYTES_MAX]; /* where each byte lies */
	size_t len;
};

extern struct vb_side vb_out, vb_in;
extern struct iovec vb_iov[VIRTQ_MAX_IOV];
extern struct virtq_chain vb_chain;
extern struct blk_limits vb_limits; /* of a disk that can do everything; a test may change it */
extern struct blk_req vb_req;
extern struct blk_range vb_ranges[BLK_MAX_RANGES + 1]; /* one more than may be, as a guard */
extern bool vb_cut_out[BYTES_MAX + 1], vb_cut_in[BYTES_MAX + 1]; /* [n]: a piece begins there */

/* Checked fixture, with test_log_end(). */
void vb_setup(void);

/** vb_build() - a chain as virtq_pop() would give it, with @out_len and @in_len bytes */
void vb_build(size_t out_len, size_t in_len);

/* What the driver writes into it. */
void vb_put_out(size_t at, const void *data, size_t len);
void vb_put_header(uint32_t type, uint64_t sector);
void vb_put_range(uint32_t index, uint64_t sector, uint32_t sectors, uint32_t flags);

/** vb_parse() - blk_req_parse() of the chain, for a driver that accepted everything */
int vb_parse(void);

/** vb_parse_io() - build and parse a request with @len bytes of data in the direction it takes */
int vb_parse_io(uint32_t type, uint64_t sector, size_t len);

/** vb_parse_huge() - the same where the data would not fit our memory */
int vb_parse_huge(uint32_t type, uint64_t sector, size_t len);

/** vb_parse_one_range() - build and parse a DISCARD or WRITE_ZEROES */
int vb_parse_one_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags);

/** vb_data_is() - is the request's data bytes [from, to) of @side, in pieces that are not empty? */
bool vb_data_is(const struct vb_side *side, size_t from, size_t to);

#endif
