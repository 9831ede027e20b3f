// SPDX-License-Identifier: GPL-2.0-or-later
#include "virtio_blk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "iov.h"

#define BIT(n) (1ull << (n))

static uint8_t log2_of(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

uint64_t virtio_blk_features(const struct blk_limits *l)
{
	uint64_t features = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |
			    BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
			    BIT(VIRTIO_BLK_F_TOPOLOGY);

	if (!l->guest_physical)
		features |= BIT(VIRTIO_F_ACCESS_PLATFORM);
	if (l->indirect)
		features |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (l->readonly)
		features |= BIT(VIRTIO_BLK_F_RO);
	if (l->flush)
		features |= BIT(VIRTIO_BLK_F_FLUSH);
	if (l->flush && l->config_wce)
		features |= BIT(VIRTIO_BLK_F_CONFIG_WCE);
	if (l->queues > 1)
		features |= BIT(VIRTIO_BLK_F_MQ);
	if (l->discard)
		features |= BIT(VIRTIO_BLK_F_DISCARD);
	if (l->write_zeroes)
		features |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

void virtio_blk_config(const struct blk_limits *l, struct virtio_blk_config *config)
{
	uint32_t granularity = MAX(l->discard_granularity, l->logical_block);

	*config = (struct virtio_blk_config){
		.capacity = htole64(l->size / SECTOR_SIZE),
		/* Without indirect descriptors, header and status take one descriptor each. */
		.seg_max = htole32(l->seg_max ? l->seg_max : l->queue_size - 2u),
		.blk_size = htole32(l->logical_block),
		.physical_block_exp = log2_of(l->physical_block / l->logical_block),
		.alignment_offset = (uint8_t)MIN(l->alignment_offset / l->logical_block, 255u),
		.min_io_size = htole16((uint16_t)MIN(l->io_min / l->logical_block, 65535u)),
		.opt_io_size = htole32(l->io_opt / l->logical_block),
		.num_queues = htole16(l->queues),
		.wce = l->flush,
	};
	if (l->discard) {
		config->max_discard_sectors = htole32(l->discard_max / SECTOR_SIZE);
		config->max_discard_seg = htole32(BLK_MAX_RANGES);
		config->discard_sector_alignment = htole32(granularity / SECTOR_SIZE);
	}
	if (l->write_zeroes) {
		config->max_write_zeroes_sectors = htole32(l->zeroes_max / SECTOR_SIZE);
		config->max_write_zeroes_seg = htole32(BLK_MAX_RANGES);
		config->write_zeroes_may_unmap = 1;
	}
}

/* Does the range consist of whole blocks of the disk? Safe for any values. */
static bool range_is_valid(const struct blk_limits *l, uint64_t sector, uint64_t len)
{
	uint64_t offset = sector * SECTOR_SIZE, size = load_relaxed(&l->size);

	if (sector > size / SECTOR_SIZE || len > size - offset)
		return false;
	return !((offset | len) & (l->logical_block - 1));
}

static int parse_read_write(const struct blk_limits *l, uint64_t sector, struct blk_req *req)
{
	if (req->op == BLK_WRITE && l->readonly)
		return VIRTIO_BLK_S_IOERR;
	if (!range_is_valid(l, sector, req->len))
		return VIRTIO_BLK_S_IOERR;
	req->offset = sector * SECTOR_SIZE;
	return 0;
}

static int parse_range(const struct blk_limits *l, enum blk_op op,
		       const struct virtio_blk_discard_write_zeroes *raw, struct blk_range *range)
{
	uint32_t known = op == BLK_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	uint32_t max = op == BLK_DISCARD ? l->discard_max : l->zeroes_max;
	uint64_t len = (uint64_t)le32toh(raw->num_sectors) * SECTOR_SIZE;

	/* virtio 1.3, 5.2.6.2: unknown flags, and unmap in a discard, are UNSUPP. */
	if (le32toh(raw->flags) & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (len > max || !range_is_valid(l, le64toh(raw->sector), len))
		return VIRTIO_BLK_S_IOERR;

	*range = (struct blk_range){
		.offset = le64toh(raw->sector) * SECTOR_SIZE,
		.len = len,
		.unmap = le32toh(raw->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
	};
	return 0;
}

static int parse_ranges(const struct blk_limits *l, struct blk_range *ranges, struct blk_req *req)
{
	struct virtio_blk_discard_write_zeroes raw;
	struct iovec *iov = req->iov;
	uint32_t count = req->iov_count;
	uint64_t bytes = 0;
	int status;

	if (l->readonly || !req->len || req->len % sizeof(raw) ||
	    req->len / sizeof(raw) > BLK_MAX_RANGES)
		return VIRTIO_BLK_S_IOERR;

	req->range_count = (uint32_t)(req->len / sizeof(raw));
	for (uint32_t i = 0; i < req->range_count; i++) {
		iov_to_buf(iov, count, &raw, sizeof(raw));
		if (iov_is_lost(iov, count, sizeof(raw)))
			return VIRTIO_BLK_S_IOERR;
		iov_skip(&iov, &count, sizeof(raw));
		status = parse_range(l, req->op, &raw, &ranges[i]);
		if (status)
			return status;
		bytes += ranges[i].len;
	}
	req->len = bytes;
	return 0;
}

/* Finds the data of a request in the chain: the bytes between the header and the status. */
static void take_data(struct virtq_chain *chain, bool to_driver, struct blk_req *req)
{
	size_t header = sizeof(struct virtio_blk_outhdr);

	if (to_driver) {
		req->iov = chain->iov + chain->out_count;
		req->len = chain->in_bytes - 1;
		req->iov_count = iov_truncate(req->iov, chain->in_count, req->len);
		req->used_len = (uint32_t)MIN(chain->in_bytes, (size_t)UINT32_MAX);
		return;
	}
	/* A length n means that the first n writable bytes were written. We write the last only. */
	req->used_len = chain->in_bytes == 1;
	req->iov = chain->iov;
	req->iov_count = chain->out_count;
	req->len = chain->out_bytes - header;
	iov_skip(&req->iov, &req->iov_count, header);
}

int blk_req_parse(const struct blk_limits *l, uint64_t features, struct virtq_chain *chain,
		  struct blk_range *ranges, struct blk_req *req)
{
	struct virtio_blk_outhdr header;

	req->status = chain->last_in;
	req->range_count = 0;
	req->used_len = 0;
	if (chain->fault || chain->out_bytes < sizeof(header) || !chain->in_bytes)
		return VIRTIO_BLK_S_IOERR;
	iov_to_buf(chain->iov, chain->out_count, &header, sizeof(header));
	if (iov_is_lost(chain->iov, chain->out_count, sizeof(header)))
		return VIRTIO_BLK_S_IOERR;

	switch (le32toh(header.type)) {
	case VIRTIO_BLK_T_IN:
		req->op = BLK_READ;
		take_data(chain, true, req);
		return parse_read_write(l, le64toh(header.sector), req);
	case VIRTIO_BLK_T_OUT:
		req->op = BLK_WRITE;
		take_data(chain, false, req);
		return parse_read_write(l, le64toh(header.sector), req);
	case VIRTIO_BLK_T_FLUSH:
		req->op = BLK_FLUSH;
		take_data(chain, false, req);
		req->len = 0;
		return 0;
	case VIRTIO_BLK_T_GET_ID:
		req->op = BLK_GET_ID;
		take_data(chain, true, req);
		if (req->len > VIRTIO_BLK_ID_BYTES)
			req->used_len = VIRTIO_BLK_ID_BYTES;
		return 0;
	case VIRTIO_BLK_T_DISCARD:
		if (!(features & BIT(VIRTIO_BLK_F_DISCARD)))
			return VIRTIO_BLK_S_UNSUPP;
		req->op = BLK_DISCARD;
		take_data(chain, false, req);
		return parse_ranges(l, ranges, req);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (!(features & BIT(VIRTIO_BLK_F_WRITE_ZEROES)))
			return VIRTIO_BLK_S_UNSUPP;
		req->op = BLK_WRITE_ZEROES;
		take_data(chain, false, req);
		return parse_ranges(l, ranges, req);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

uint8_t blk_status(int err)
{
	switch (err) {
	case 0:
		return VIRTIO_BLK_S_OK;
	case -EOPNOTSUPP:
		return VIRTIO_BLK_S_UNSUPP;
	}
	return VIRTIO_BLK_S_IOERR;
}
