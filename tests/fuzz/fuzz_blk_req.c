// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_req_parse(): any bytes as a request, cut into any pieces, for disks of any limits.
 *
 * What is readable exists, piece by piece; what is writable has addresses and lengths only, up to
 * more than memory holds: parsing must not touch it.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "queue/virtio_blk.h"

#define PIECES_MAX 48u
#define WRITABLE   ((uint8_t *)0x10000) /* nothing is mapped there */

/* The first byte of an input. */
enum {
	FLAG_READONLY = 1,
	FLAG_FAULT = 2,
	FLAG_NO_STATUS = 4, /* of a chain with a fault: the last byte is not mapped */
	FLAG_DISCARD = 8,   /* accepted by the driver */
	FLAG_ZEROES = 16,
	FLAG_RAW_TYPE = 32,
};

struct rig {
	struct blk_limits limits;
	uint64_t features;
	struct iovec iov[2 * PIECES_MAX]; /* as parsing may change it */
	struct iovec before[2 * PIECES_MAX];
	struct virtq_chain chain;
	struct virtio_blk_outhdr header;
	struct blk_range ranges[BLK_MAX_RANGES];
};

static void choose_limits(struct rig *rig, struct input *in, uint8_t flags)
{
	struct blk_limits *l = &rig->limits;
	uint8_t shift = input_u8(in);

	l->logical_block = SECTOR_SIZE << (shift & 3);
	l->physical_block = l->logical_block;
	l->size = (uint64_t)input_u16(in) << (shift >> 2 & 63) & ~(uint64_t)(l->logical_block - 1);
	l->discard_max = input_u32(in) & ~(SECTOR_SIZE - 1);
	l->zeroes_max = input_u32(in) & ~(SECTOR_SIZE - 1);
	l->readonly = flags & FLAG_READONLY;
	if (flags & FLAG_DISCARD)
		rig->features |= 1ull << VIRTIO_BLK_F_DISCARD;
	if (flags & FLAG_ZEROES)
		rig->features |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

/* @data in pieces of its own memory each. */
static void add_readable(struct rig *rig, struct input *in, const uint8_t *data, size_t len)
{
	struct virtq_chain *chain = &rig->chain;

	chain->out_bytes = len;
	while (len) {
		bool last = chain->out_count == PIECES_MAX - 1;
		struct iovec *iov = &rig->iov[chain->out_count++];
		size_t piece = input_u8(in) + 1u;

		piece = last ? len : MIN(piece, len);
		iov->iov_base = malloc(piece);
		iov->iov_len = piece;
		must(iov->iov_base);
		memcpy(iov->iov_base, data, piece);
		data += piece;
		len -= piece;
	}
}

static void add_writable(struct rig *rig, struct input *in, unsigned int count)
{
	struct virtq_chain *chain = &rig->chain;
	uint8_t *at = WRITABLE;

	for (unsigned int i = 0; i < count; i++) {
		size_t len = (size_t)input_u16(in) * (i & 1 ? 1 : SECTOR_SIZE) + 1;

		if (i + 1 == count && len > 1 && !(len & 2))
			len = 1; /* often the status alone, as drivers do it */
		rig->iov[chain->out_count + chain->in_count++] =
			(struct iovec){ .iov_base = at, .iov_len = len };
		chain->in_bytes += len;
		chain->last_in = at + len - 1;
		at += len + (len & 4); /* beside the last one, or not */
	}
}

/* The header as most drivers fill it, then whatever comes. Return: bytes */
static size_t build_request(struct rig *rig, struct input *in, uint8_t flags, uint8_t *buf,
			    size_t len)
{
	static const uint8_t types[] = {
		VIRTIO_BLK_T_IN,	   VIRTIO_BLK_T_OUT,	 VIRTIO_BLK_T_FLUSH,
		VIRTIO_BLK_T_GET_ID,	   VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
		VIRTIO_BLK_T_SECURE_ERASE,
	};
	uint32_t type = flags & FLAG_RAW_TYPE ? input_u32(in) : types[input_u8(in) % sizeof(types)];
	uint32_t size = input_u16(in) % (len + 1);

	rig->header.type = htole32(type);
	rig->header.sector = htole64(input_u64(in));
	input_bytes(in, buf, size);
	memcpy(buf, &rig->header, MIN(size, sizeof(rig->header)));
	return size;
}

static void check_range(const struct blk_limits *l, uint64_t offset, uint64_t len)
{
	must(len <= l->size && offset <= l->size - len);
	must(offset % l->logical_block == 0 && len % l->logical_block == 0);
}

/* The data of an accepted request: a run of the chain's bytes, @skip after @first. */
static void check_data(const struct rig *rig, const struct blk_req *req, uint32_t first,
		       size_t skip)
{
	const struct iovec *at = &rig->before[first];
	size_t bytes = 0;

	must(req->iov_count <= rig->chain.out_count + rig->chain.in_count);
	while (req->iov_count && skip >= at->iov_len)
		skip -= at++->iov_len;
	for (uint32_t i = 0; i < req->iov_count; i++, at++, skip = 0) {
		bool last = i + 1 == req->iov_count;

		must(req->iov[i].iov_base == (uint8_t *)at->iov_base + skip);
		must(last ? req->iov[i].iov_len <= at->iov_len - skip
			  : req->iov[i].iov_len == at->iov_len - skip);
		must(req->iov[i].iov_len > 0);
		bytes += req->iov[i].iov_len;
	}
	must(bytes == req->len);
}

static void check_ranges(const struct rig *rig, const struct blk_req *req)
{
	const struct blk_limits *l = &rig->limits;
	uint32_t max = req->op == BLK_DISCARD ? l->discard_max : l->zeroes_max;
	unsigned int feature = req->op == BLK_DISCARD ? VIRTIO_BLK_F_DISCARD
						      : VIRTIO_BLK_F_WRITE_ZEROES;
	uint64_t bytes = 0;

	must(!l->readonly && rig->features >> feature & 1);
	must(req->range_count > 0 && req->range_count <= BLK_MAX_RANGES);
	must(rig->chain.out_bytes ==
	     sizeof(rig->header) +
		     req->range_count * sizeof(struct virtio_blk_discard_write_zeroes));
	for (uint32_t i = 0; i < req->range_count; i++) {
		bytes += rig->ranges[i].len;
		check_range(l, rig->ranges[i].offset, rig->ranges[i].len);
		must(rig->ranges[i].len <= max);
		must(!rig->ranges[i].unmap || req->op == BLK_WRITE_ZEROES);
	}
	must(req->len == bytes);
}

static void check_accepted(const struct rig *rig, const struct blk_req *req)
{
	const struct virtq_chain *chain = &rig->chain;
	bool to_driver = req->op == BLK_READ || req->op == BLK_GET_ID;

	must(!chain->fault && req->status);
	must(req->used_len <= chain->in_bytes);
	if (to_driver) {
		must(req->len == chain->in_bytes - 1);
		check_data(rig, req, chain->out_count, 0);
	} else {
		must(req->used_len == (chain->in_bytes == 1));
	}
	if (req->op == BLK_READ || req->op == BLK_WRITE) {
		must(req->offset == le64toh(rig->header.sector) * SECTOR_SIZE);
		must(req->op == BLK_READ || !rig->limits.readonly);
		check_range(&rig->limits, req->offset, req->len);
	}
	if (req->op == BLK_WRITE) {
		must(req->len == chain->out_bytes - sizeof(rig->header));
		check_data(rig, req, 0, sizeof(rig->header));
	}
	must(req->op != BLK_FLUSH || req->len == 0);
	if (req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES)
		check_ranges(rig, req);
	else
		must(req->range_count == 0);
}

static void free_pieces(struct rig *rig)
{
	for (uint32_t i = 0; i < rig->chain.out_count; i++)
		free(rig->before[i].iov_base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[sizeof(struct virtio_blk_outhdr) +
			   (BLK_MAX_RANGES + 2) * sizeof(struct virtio_blk_discard_write_zeroes)];
	struct input in = { .data = data, .left = size };
	uint8_t flags = input_u8(&in), writable = input_u8(&in) % (PIECES_MAX + 1);
	static struct rig rig;
	struct blk_req req;
	uint8_t *status;
	size_t len;
	int ret;

	memset(&rig, 0, sizeof(rig));
	memset(&req, 0xa5, sizeof(req)); /* nothing is to be left as it was */
	rig.chain.iov = rig.iov;
	choose_limits(&rig, &in, flags);
	len = build_request(&rig, &in, flags, buf, sizeof(buf));
	add_readable(&rig, &in, buf, len);
	add_writable(&rig, &in, writable);
	if (flags & FLAG_FAULT)
		rig.chain.fault = -EFAULT;
	if ((flags & (FLAG_FAULT | FLAG_NO_STATUS)) == (FLAG_FAULT | FLAG_NO_STATUS))
		rig.chain.last_in = NULL;
	memcpy(rig.before, rig.iov, sizeof(rig.iov));
	status = rig.chain.last_in;

	ret = blk_req_parse(&rig.limits, rig.features, &rig.chain, rig.ranges, &req);
	must(ret == 0 || ret == VIRTIO_BLK_S_IOERR || ret == VIRTIO_BLK_S_UNSUPP);
	must(req.status == status);
	if (ret == 0)
		check_accepted(&rig, &req);
	free_pieces(&rig);
	return 0;
}
