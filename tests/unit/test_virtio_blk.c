// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/virtio_blk.c: what is offered, and what chains built by hand mean. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "iov.h"
#include "test_log.h"
#include "virtio_blk.h"

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
struct side {
	uint8_t memory[2 * BYTES_MAX];
	uint8_t *flat[BYTES_MAX]; /* where each byte lies */
	size_t len;
};

static struct side out, in;
static struct iovec iov[VIRTQ_MAX_IOV];
static struct virtq_chain chain;
static struct blk_limits limits;
static struct blk_req req;

/* One more than there may be, as a guard. */
static struct blk_range ranges[BLK_MAX_RANGES + 1];

static bool cut_out[BYTES_MAX + 1], cut_in[BYTES_MAX + 1]; /* [n]: a piece begins at byte n */

static void setup(void)
{
	test_log_begin();
	limits = (struct blk_limits){
		.size = DISK,
		.logical_block = 512,
		.physical_block = 4096,
		.discard_granularity = 4096,
		.discard_max = 512 * SECTOR_SIZE,
		.zeroes_max = 1024 * SECTOR_SIZE,
		.queues = 1,
		.queue_size = 256,
		.flush = true,
		.discard = true,
		.write_zeroes = true,
	};
	memset(cut_out, 0, sizeof(cut_out));
	memset(cut_in, 0, sizeof(cut_in));
}

/* Appends the pieces of one side to @iov. Return: how many */
static uint32_t lay_out(struct side *side, size_t len, const bool *cut, struct iovec *to)
{
	uint8_t *at = side->memory;
	uint32_t count = 0;

	side->len = len;
	for (size_t i = 0; i < len; i++) {
		if (!i || cut[i]) {
			at++;
			to[count++] = (struct iovec){ .iov_base = at };
		}
		to[count - 1].iov_len++;
		side->flat[i] = at++;
	}
	return count;
}

/* Builds a chain as virtq_pop() would give it, with @out_len and @in_len bytes. */
static void build(size_t out_len, size_t in_len)
{
	chain = (struct virtq_chain){ .iov = iov, .out_bytes = out_len, .in_bytes = in_len };
	chain.out_count = lay_out(&out, out_len, cut_out, iov);
	chain.in_count = lay_out(&in, in_len, cut_in, iov + chain.out_count);
	chain.last_in = in_len ? in.flat[in_len - 1] : NULL;
	memset(&req, 0xee, sizeof(req));
	memset(ranges, 0xee, sizeof(ranges));
}

static void put_out(size_t at, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*out.flat[at + i] = ((const uint8_t *)data)[i];
}

static void put_header(uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = {
		.type = htole32(type),
		.ioprio = 0xffffffff, /* means nothing to a device */
		.sector = htole64(sector),
	};

	put_out(0, &header, HEADER);
}

static void put_range(uint32_t index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes raw = {
		.sector = htole64(sector),
		.num_sectors = htole32(sectors),
		.flags = htole32(flags),
	};

	put_out(HEADER + index * RANGE, &raw, RANGE);
}

static int parse(void)
{
	return blk_req_parse(&limits, ALL, &chain, ranges, &req);
}

/* Parses one request with @len bytes of data in the direction that suits it. */
static int parse_io(uint32_t type, uint64_t sector, size_t len)
{
	bool to_driver = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	build(HEADER + (to_driver ? 0 : len), 1 + (to_driver ? len : 0));
	put_header(type, sector);
	return parse();
}

/*
 * The same where the data would not fit our memory: nobody looks at more than the first range, so
 * that one piece with no memory behind it stands for all.
 */
static int parse_huge(uint32_t type, uint64_t sector, size_t len)
{
	static struct virtio_blk_discard_write_zeroes nothing; /* a good range, of no sectors */
	struct iovec data = { .iov_base = &nothing, .iov_len = len };

	build(HEADER, 1);
	put_header(type, sector);
	if (type == VIRTIO_BLK_T_IN) {
		iov[2] = iov[1];
		iov[1] = data;
		chain.in_count++;
		chain.in_bytes += len;
	} else {
		iov[2] = iov[1];
		iov[1] = data;
		chain.out_count++;
		chain.out_bytes += len;
	}
	return parse();
}

static int parse_one_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	build(HEADER + RANGE, 1);
	put_header(type, 0xdeadbeef); /* the header's sector means nothing here */
	put_range(0, sector, sectors, flags);
	return parse();
}

/* Is the request's data bytes [from, to) of @side, in pieces that are not empty? */
static bool data_is(const struct side *side, size_t from, size_t to)
{
	size_t n = from;

	for (uint32_t i = 0; i < req.iov_count; i++) {
		if (!req.iov[i].iov_len || n + req.iov[i].iov_len > to)
			return false;
		for (size_t j = 0; j < req.iov[i].iov_len; j++)
			if ((uint8_t *)req.iov[i].iov_base + j != side->flat[n++])
				return false;
	}
	return n == to && req.len == to - from;
}

/* Features and config space. */

#define BASE                                                                                       \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) |                                 \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                         \
	 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY))

static const struct {
	struct blk_limits limits;
	uint64_t features;
} offers[] = {
	{ { .queues = 1 }, BASE },
	{ { .queues = 1, .readonly = true }, BASE | BIT(VIRTIO_BLK_F_RO) },
	{ { .queues = 1, .flush = true }, BASE | BIT(VIRTIO_BLK_F_FLUSH) },
	{ { .queues = 2 }, BASE | BIT(VIRTIO_BLK_F_MQ) },
	{ { .queues = 64 }, BASE | BIT(VIRTIO_BLK_F_MQ) },
	{ { .queues = 1, .discard = true }, BASE | BIT(VIRTIO_BLK_F_DISCARD) },
	{ { .queues = 1, .write_zeroes = true }, BASE | BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
	{ { .queues = 4, .readonly = true, .flush = true, .discard = true, .write_zeroes = true },
	  BASE | BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) |
		  BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
};

START_TEST(features_are_what_the_limits_mean)
{
	ck_assert_uint_eq(virtio_blk_features(&offers[_i].limits), offers[_i].features);
}
END_TEST

/* The config space of a disk with all there is, byte by byte (virtio 1.3, 5.2.4). */
START_TEST(config_space_is_little_endian)
{
	/* clang-format off */
	static const uint8_t want[] = {
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0, /* capacity */
		0, 0, 0, 0,       /* size_max */
		0xfe, 0x03, 0, 0, /* seg_max: 1022 */
		0, 0, 0, 0,       /* geometry */
		0, 0x02, 0, 0,    /* blk_size: 512 */
		7, 3,             /* physical_block_exp, alignment_offset */
		0x80, 0,          /* min_io_size: 64k */
		0, 0x08, 0, 0,    /* opt_io_size: 1M */
		0, 0,             /* wce, unused */
		0x04, 0x03,       /* num_queues */
		0xff, 0xff, 0x3f, 0, /* max_discard_sectors */
		0, 1, 0, 0,       /* max_discard_seg */
		0, 0x10, 0, 0,    /* discard_sector_alignment: 2M */
		0, 0, 0x40, 0,    /* max_write_zeroes_sectors */
		0, 1, 0, 0,       /* max_write_zeroes_seg */
		1, 0, 0, 0,       /* write_zeroes_may_unmap, unused */
	};
	/* clang-format on */
	struct virtio_blk_config config;

	limits = (struct blk_limits){
		.size = 0x22334455667788ull * 512,
		.logical_block = 512,
		.physical_block = 65536,
		.alignment_offset = 1536,
		.io_min = 65536,
		.io_opt = 1 << 20,
		.discard_granularity = 2 << 20,
		.discard_max = (2u << 30) - 512,
		.zeroes_max = 2u << 30,
		.queues = 0x0304,
		.queue_size = 1024,
		.discard = true,
		.write_zeroes = true,
	};
	memset(&config, 0xee, sizeof(config));
	virtio_blk_config(&limits, &config);
	ck_assert_uint_le(sizeof(want), sizeof(config));
	ck_assert_mem_eq(&config, want, sizeof(want));
	for (size_t i = sizeof(want); i < sizeof(config); i++) /* what newer headers add */
		ck_assert_uint_eq(((uint8_t *)&config)[i], 0);
}
END_TEST

START_TEST(config_space_without_discard_says_nothing_of_it)
{
	struct virtio_blk_config config;

	limits.discard = limits.write_zeroes = false;
	virtio_blk_config(&limits, &config);
	ck_assert_uint_eq(le64toh(config.capacity), SECTORS);
	ck_assert_uint_eq(config.max_discard_sectors, 0);
	ck_assert_uint_eq(config.max_discard_seg, 0);
	ck_assert_uint_eq(config.discard_sector_alignment, 0);
	ck_assert_uint_eq(config.max_write_zeroes_sectors, 0);
	ck_assert_uint_eq(config.max_write_zeroes_seg, 0);
	ck_assert_uint_eq(config.write_zeroes_may_unmap, 0);

	limits.discard = true;
	virtio_blk_config(&limits, &config);
	ck_assert_uint_eq(le32toh(config.max_discard_sectors), 512);
	ck_assert_uint_eq(config.max_write_zeroes_sectors, 0);

	limits.discard = false;
	limits.write_zeroes = true;
	virtio_blk_config(&limits, &config);
	ck_assert_uint_eq(config.max_discard_sectors, 0);
	ck_assert_uint_eq(le32toh(config.max_write_zeroes_sectors), 1024);
	ck_assert_uint_eq(config.write_zeroes_may_unmap, 1);
}
END_TEST

static const struct {
	uint32_t logical, physical, alignment, io_min, io_opt, granularity;
	uint8_t physical_exp, alignment_blocks;
	uint16_t min_blocks;
	uint32_t opt_blocks, discard_sectors;
} topologies[] = {
	{ 512, 512, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
	{ 512, 4096, 0, 4096, 0, 512, 3, 0, 8, 0, 1 },
	{ 512, 65536, 65024, 65536, 65536, 4096, 7, 127, 128, 128, 8 },
	{ 4096, 4096, 0, 4096, 1 << 20, 512, 0, 0, 1, 256, 8 }, /* no finer than a block */
	{ 4096, 65536, 4096, 65536, 0, 65536, 4, 1, 16, 0, 128 },
	{ 1024, 1024, 0, 512, 0, 1024, 0, 0, 0, 0, 2 },
	{ 512, 1 << 20, 512 * 255, 0, 0, 0, 11, 255, 0, 0, 1 },
	{ 512, 1 << 20, 512 * 256, 0, 0, 0, 11, 255, 0, 0, 1 }, /* what does not fit saturates */
	{ 512, 512, 0, 512 * 65535, 0, 0, 0, 0, 65535, 0, 1 },
	{ 512, 512, 0, 512 * 65536, 0, 0, 0, 0, 65535, 0, 1 },
	{ 512, 512, 0, 0, 0xfffffe00, 0x80000000, 0, 0, 0, 0x7fffff, 0x400000 },
};

START_TEST(topology_is_in_blocks_and_discard_in_sectors)
{
	struct virtio_blk_config config;

	limits.logical_block = topologies[_i].logical;
	limits.physical_block = topologies[_i].physical;
	limits.alignment_offset = topologies[_i].alignment;
	limits.io_min = topologies[_i].io_min;
	limits.io_opt = topologies[_i].io_opt;
	limits.discard_granularity = topologies[_i].granularity;
	virtio_blk_config(&limits, &config);
	ck_assert_uint_eq(le64toh(config.capacity), SECTORS);
	ck_assert_uint_eq(le32toh(config.blk_size), topologies[_i].logical);
	ck_assert_uint_eq(config.physical_block_exp, topologies[_i].physical_exp);
	ck_assert_uint_eq(config.alignment_offset, topologies[_i].alignment_blocks);
	ck_assert_uint_eq(le16toh(config.min_io_size), topologies[_i].min_blocks);
	ck_assert_uint_eq(le32toh(config.opt_io_size), topologies[_i].opt_blocks);
	ck_assert_uint_eq(le32toh(config.discard_sector_alignment), topologies[_i].discard_sectors);
}
END_TEST

/* Framing: the same request, cut into pieces in every way. */

static bool write_is_understood(void)
{
	build(HEADER + 512, 1);
	put_header(VIRTIO_BLK_T_OUT, 7);
	return parse() == 0 && req.op == BLK_WRITE && req.offset == 7 * 512 &&
	       data_is(&out, HEADER, HEADER + 512) && req.status == in.flat[0] &&
	       req.used_len == 1 && req.range_count == 0;
}

static bool read_is_understood(void)
{
	build(HEADER, 513);
	put_header(VIRTIO_BLK_T_IN, 7);
	return parse() == 0 && req.op == BLK_READ && req.offset == 7 * 512 &&
	       data_is(&in, 0, 512) && req.status == in.flat[512] && req.used_len == 513 &&
	       req.range_count == 0;
}

static bool discard_is_understood(void)
{
	build(HEADER + 2 * RANGE, 1);
	put_header(VIRTIO_BLK_T_DISCARD, 0);
	put_range(0, 16, 8, 0);
	put_range(1, 1024, 512, 0);
	return parse() == 0 && req.op == BLK_DISCARD && req.range_count == 2 &&
	       ranges[0].offset == 16 * 512 && ranges[0].len == 8 * 512 &&
	       ranges[1].offset == 1024 * 512 && ranges[1].len == 512 * 512 &&
	       req.status == in.flat[0] && req.used_len == 1;
}

/* All choices of two places to cut, the same place twice included. */
static void cut_everywhere(bool *cut, size_t len, bool (*understood)(void))
{
	for (size_t a = 1; a < len; a++)
		for (size_t b = a; b < len; b++) {
			cut[a] = cut[b] = true;
			if (!understood())
				ck_abort_msg("cut at %zu and %zu", a, b);
			cut[a] = cut[b] = false;
		}
}

START_TEST(write_in_three_pieces_cut_anywhere)
{
	cut_everywhere(cut_out, HEADER + 512, write_is_understood);
}
END_TEST

START_TEST(read_in_three_pieces_cut_anywhere)
{
	cut_everywhere(cut_in, 513, read_is_understood);
	cut_everywhere(cut_out, HEADER, read_is_understood);
}
END_TEST

START_TEST(ranges_in_three_pieces_cut_anywhere)
{
	cut_everywhere(cut_out, HEADER + 2 * RANGE, discard_is_understood);
}
END_TEST

START_TEST(one_piece_and_single_bytes_mean_the_same)
{
	ck_assert(write_is_understood());
	ck_assert_uint_eq(req.iov_count, 1); /* header and data glued together */
	ck_assert(read_is_understood());
	ck_assert_uint_eq(req.iov_count, 1); /* data and status glued together */
	ck_assert(discard_is_understood());

	memset(cut_in, true, sizeof(cut_in));
	memset(cut_out, true, sizeof(cut_out));
	ck_assert(write_is_understood());
	ck_assert_uint_eq(req.iov_count, 512);
	ck_assert(read_is_understood());
	ck_assert_uint_eq(req.iov_count, 512);
	ck_assert(discard_is_understood());
}
END_TEST

START_TEST(header_cut_in_all_ways)
{
	for (uint32_t cuts = 0; cuts < 1u << (HEADER - 1); cuts++) {
		for (size_t i = 1; i < HEADER; i++)
			cut_out[i] = cuts & (1u << (i - 1));
		build(HEADER, 513);
		put_header(VIRTIO_BLK_T_IN, SECTORS - 1);
		if (parse() || req.op != BLK_READ || req.offset != DISK - 512 || req.len != 512)
			ck_abort_msg("header cut by %#x", cuts);
	}
}
END_TEST

/* Bounds of reads and writes. */

static const struct {
	uint64_t size;
	uint32_t block;
	uint64_t sector;
	size_t len;
	int status;
} transfers[] = {
	{ DISK, 512, 0, 512, 0 },
	{ DISK, 512, 0, DISK, 0 },
	{ DISK, 512, 0, DISK + 512, IOERR },
	{ DISK, 512, SECTORS - 1, 512, 0 },
	{ DISK, 512, SECTORS - 1, 1024, IOERR },
	{ DISK, 512, SECTORS, 512, IOERR },
	{ DISK, 512, SECTORS + 1, 512, IOERR },
	{ DISK, 512, 1, 0, 0 },
	{ DISK, 512, SECTORS, 0, 0 }, /* nothing, at the end */
	{ DISK, 512, SECTORS + 1, 0, IOERR },
	{ DISK, 512, UINT64_MAX, 512, IOERR },
	{ DISK, 512, UINT64_MAX, 0, IOERR },
	{ DISK, 512, UINT64_MAX / 512, 512, IOERR },
	{ DISK, 512, UINT64_MAX / 512 + 1, 512, IOERR }, /* would wrap to the first sector */
	{ DISK, 512, UINT64_MAX / 512 + 2, 512, IOERR },
	{ DISK, 512, 1ull << 63, 512, IOERR },
	{ DISK, 512, 1, SIZE_MAX - 511 - 512, IOERR }, /* offset + length would wrap */
	{ DISK, 512, 1, SIZE_MAX - 511 - 16, IOERR },
	{ DISK, 512, 0, 1ull << 32, IOERR }, /* not cut to 32 bits */
	{ DISK, 512, 1, 1, IOERR },
	{ DISK, 512, 1, 511, IOERR },
	{ DISK, 512, 1, 513, IOERR },
	{ DISK, 512, 1, 1536, 0 },
	{ DISK, 4096, 0, 4096, 0 },
	{ DISK, 4096, 8, 8192, 0 },
	{ DISK, 4096, SECTORS - 8, 4096, 0 },
	{ DISK, 4096, SECTORS - 8, 8192, IOERR },
	{ DISK, 4096, 1, 4096, IOERR },
	{ DISK, 4096, 4, 4096, IOERR },
	{ DISK, 4096, 8, 512, IOERR },
	{ DISK, 4096, 8, 4608, IOERR },
	{ DISK, 4096, 7, 512, IOERR },
	{ DISK, 4096, 8, 0, 0 },
	{ DISK, 4096, 7, 0, IOERR },
	{ 1ull << 40, 512, 1ull << 30, 1ull << 33, 0 },
	{ UINT64_MAX - 511, 512, UINT64_MAX / 512 - 1, 512, 0 },
	{ UINT64_MAX - 511, 512, UINT64_MAX / 512, 512, IOERR },
	{ UINT64_MAX - 511, 512, UINT64_MAX / 512 + 1, 512, IOERR },
};

START_TEST(transfer_stays_on_the_disk_and_in_whole_blocks)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT };

	limits.size = transfers[_i].size;
	limits.logical_block = transfers[_i].block;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int status = transfers[_i].len
				     ? parse_huge(types[i], transfers[_i].sector, transfers[_i].len)
				     : parse_io(types[i], transfers[_i].sector, 0);

		ck_assert_int_eq(status, transfers[_i].status);
		ck_assert_ptr_eq(req.status, in.flat[0]);
		if (status)
			continue;
		ck_assert_int_eq(req.op, i ? BLK_WRITE : BLK_READ);
		ck_assert_uint_eq(req.offset, transfers[_i].sector * 512);
		ck_assert_uint_eq(req.len, transfers[_i].len);
		ck_assert_uint_eq(req.iov_count, transfers[_i].len ? 1 : 0);
	}
}
END_TEST

START_TEST(read_only_disk_is_read_and_not_changed)
{
	limits.readonly = true;
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_IN, 0, 512), 0);
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_GET_ID, 0, 20), 0);
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_OUT, 0, 512), IOERR);
	ck_assert_ptr_eq(req.status, in.flat[0]);
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_OUT, 0, 0), IOERR);
	ck_assert_int_eq(parse_one_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), IOERR);
	ck_assert_ptr_eq(req.status, in.flat[0]);
	ck_assert_int_eq(parse_one_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), IOERR);
}
END_TEST

START_TEST(flush_needs_no_sector)
{
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(req.op, BLK_FLUSH);
	ck_assert_uint_eq(req.used_len, 1);
	ck_assert_uint_eq(req.range_count, 0);
	ck_assert_ptr_eq(req.status, in.flat[0]);
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0), 0);
	limits.flush = false; /* a driver may send it anyway */
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(blk_req_parse(&limits, 0, &chain, ranges, &req), 0);
}
END_TEST

static const size_t id_sizes[] = { 20, 19, 1, 0, 21, 512 };

START_TEST(get_id_takes_a_buffer_of_any_size)
{
	size_t size = id_sizes[_i];
	uint8_t id[VIRTIO_BLK_ID_BYTES];

	memset(id, 'x', sizeof(id));
	ck_assert_int_eq(parse_io(VIRTIO_BLK_T_GET_ID, UINT64_MAX, size), 0);
	ck_assert_int_eq(req.op, BLK_GET_ID);
	ck_assert(data_is(&in, 0, size));
	ck_assert_ptr_eq(req.status, in.flat[size]);
	ck_assert_uint_eq(iov_from_buf(req.iov, req.iov_count, id, sizeof(id)), MIN(size, 20));
	if (size <= 20)
		ck_assert_uint_eq(req.used_len, size + 1);
}
END_TEST

/*
 * virtio 1.3, 2.7.8.2: the device MUST write at least len bytes, from the beginning of the first
 * writable buffer on; fewer may be claimed than were written. With the status further behind, a
 * byte in between is not written.
 */
static const struct {
	uint32_t type;
	size_t out, in;	  /* bytes after the header; writable bytes with the status */
	uint32_t written; /* at the beginning, without a gap */
} claims[] = {
	{ VIRTIO_BLK_T_IN, 0, 513, 513 },	 { VIRTIO_BLK_T_IN, 0, 1, 1 },
	{ VIRTIO_BLK_T_GET_ID, 0, 20 + 1, 21 },	 { VIRTIO_BLK_T_GET_ID, 0, 5 + 1, 6 },
	{ VIRTIO_BLK_T_GET_ID, 0, 1, 1 },	 { VIRTIO_BLK_T_GET_ID, 0, 21 + 1, 20 },
	{ VIRTIO_BLK_T_GET_ID, 0, 512 + 1, 20 }, { VIRTIO_BLK_T_OUT, 512, 1, 1 },
	{ VIRTIO_BLK_T_OUT, 512, 2, 0 },	 { VIRTIO_BLK_T_FLUSH, 0, 1, 1 },
	{ VIRTIO_BLK_T_FLUSH, 0, 513, 0 },	 { VIRTIO_BLK_T_DISCARD, RANGE, 1, 1 },
	{ VIRTIO_BLK_T_DISCARD, RANGE, 2, 0 },	 { VIRTIO_BLK_T_WRITE_ZEROES, RANGE, 2, 0 },
};

START_TEST(used_length_claims_no_byte_that_is_not_written)
{
	build(HEADER + claims[_i].out, claims[_i].in);
	put_header(claims[_i].type, 0);
	if (claims[_i].out == RANGE)
		put_range(0, 0, 8, 0);
	ck_assert_int_eq(parse(), 0);
	ck_assert_ptr_eq(req.status, in.flat[claims[_i].in - 1]);
	ck_assert_uint_eq(req.used_len, claims[_i].written);
}
END_TEST

START_TEST(used_length_of_a_huge_read_is_not_more_than_it)
{
	limits.size = 1ull << 40;
	ck_assert_int_eq(parse_huge(VIRTIO_BLK_T_IN, 0, (1ull << 32) - 512), 0);
	ck_assert_uint_eq(req.used_len, UINT32_MAX - 510);
	ck_assert_int_eq(parse_huge(VIRTIO_BLK_T_IN, 0, 1ull << 32), 0);
	ck_assert_uint_eq(req.len, 1ull << 32);
}
END_TEST

/* Discard and write zeroes. */

static const uint32_t range_types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };

#define UNMAP VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP

static const struct {
	uint32_t block, type;
	uint64_t sector;
	uint32_t sectors, flags;
	int status;
} one_range[] = {
	{ 512, VIRTIO_BLK_T_DISCARD, 8, 16, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, UNMAP, 0 },
	{ 512, VIRTIO_BLK_T_DISCARD, 8, 16, UNMAP, UNSUPP },
	{ 512, VIRTIO_BLK_T_DISCARD, 8, 16, 2, UNSUPP },
	{ 512, VIRTIO_BLK_T_DISCARD, 8, 16, 1u << 31, UNSUPP },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 2, UNSUPP },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 2 | UNMAP, UNSUPP },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 1u << 31, UNSUPP },
	{ 512, VIRTIO_BLK_T_DISCARD, 0, 512, 0, 0 }, /* as much as there may be */
	{ 512, VIRTIO_BLK_T_DISCARD, 0, 513, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, 513, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1024, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1025, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1u << 31, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, 0, (1u << 23) + 8, 0, IOERR }, /* 4 GiB and a bit */
	{ 512, VIRTIO_BLK_T_DISCARD, SECTORS - 8, 8, 0, 0 },
	{ 512, VIRTIO_BLK_T_DISCARD, SECTORS - 8, 9, 0, IOERR },
	{ 512, VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 1, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 1, 0, IOERR },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX / 512 + 1, 1, 0, IOERR },
	{ 512, VIRTIO_BLK_T_DISCARD, 1ull << 63, 8, 0, IOERR },
	{ 512, VIRTIO_BLK_T_DISCARD, 1, 1, 0, 0 }, /* the granularity is a hint */
	{ 512, VIRTIO_BLK_T_DISCARD, 8, 0, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS, 0, 0, 0 },
	{ 512, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS + 1, 0, 0, IOERR },
	{ 4096, VIRTIO_BLK_T_DISCARD, 8, 8, 0, 0 },
	{ 4096, VIRTIO_BLK_T_DISCARD, 9, 8, 0, IOERR },
	{ 4096, VIRTIO_BLK_T_DISCARD, 8, 9, 0, IOERR },
	{ 4096, VIRTIO_BLK_T_DISCARD, 9, 7, 0, IOERR },
	{ 4096, VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, UNMAP, 0 },
	{ 4096, VIRTIO_BLK_T_WRITE_ZEROES, 12, 8, UNMAP, IOERR },
	{ 4096, VIRTIO_BLK_T_WRITE_ZEROES, 16, 4, 0, IOERR },
};

START_TEST(range_is_judged)
{
	limits.logical_block = one_range[_i].block;
	ck_assert_int_eq(parse_one_range(one_range[_i].type, one_range[_i].sector,
					 one_range[_i].sectors, one_range[_i].flags),
			 one_range[_i].status);
	ck_assert_ptr_eq(req.status, in.flat[0]);
	if (one_range[_i].status)
		return;
	ck_assert_int_eq(req.op, one_range[_i].type == VIRTIO_BLK_T_DISCARD ? BLK_DISCARD
									    : BLK_WRITE_ZEROES);
	ck_assert_uint_eq(req.range_count, 1);
	ck_assert_uint_eq(req.used_len, 1);
	ck_assert_uint_eq(ranges[0].offset, one_range[_i].sector * 512);
	ck_assert_uint_eq(ranges[0].len, (uint64_t)one_range[_i].sectors * 512);
	ck_assert_int_eq(ranges[0].unmap, one_range[_i].flags & UNMAP);
}
END_TEST

static const struct {
	size_t len;
	int status;
} range_lens[] = {
	{ 0, IOERR },	      { 1, IOERR },
	{ RANGE - 1, IOERR }, { RANGE, 0 },
	{ RANGE + 1, IOERR }, { 2 * RANGE - 1, IOERR },
	{ 2 * RANGE, 0 },     { 256 * RANGE - 1, IOERR },
	{ 256 * RANGE, 0 },   { 257 * RANGE, IOERR },
};

START_TEST(ranges_are_counted)
{
	size_t len = range_lens[_i].len;
	struct blk_range guard;

	memset(&guard, 0xee, sizeof(guard));
	for (size_t type = 0; type < ARRAY_SIZE(range_types); type++) {
		build(HEADER + len, 1);
		put_header(range_types[type], 0);
		for (uint32_t i = 0; i < len / RANGE; i++)
			put_range(i, i, i + 1, 0);
		ck_assert_int_eq(parse(), range_lens[_i].status);
		ck_assert_ptr_eq(req.status, in.flat[0]);
		ck_assert_mem_eq(&ranges[BLK_MAX_RANGES], &guard, sizeof(guard));
		if (range_lens[_i].status)
			continue;
		ck_assert_uint_eq(req.range_count, len / RANGE);
		for (uint32_t i = 0; i < req.range_count; i++) {
			ck_assert_uint_eq(ranges[i].offset, i * 512);
			ck_assert_uint_eq(ranges[i].len, (i + 1) * 512);
		}
	}
}
END_TEST

START_TEST(more_ranges_than_32_bits_count_are_refused)
{
	/* 2^32 + 1 of them: cut to 32 bits, it would be one */
	ck_assert_int_eq(parse_huge(VIRTIO_BLK_T_DISCARD, 0, RANGE * ((1ull << 32) + 1)), IOERR);
}
END_TEST

START_TEST(one_bad_range_refuses_all)
{
	for (uint32_t bad = 0; bad < 3; bad++) {
		build(HEADER + 3 * RANGE, 1);
		put_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
		for (uint32_t i = 0; i < 3; i++)
			put_range(i, i * 8, 8, UNMAP);
		put_range(bad, SECTORS, 8, UNMAP);
		ck_assert_int_eq(parse(), IOERR);

		put_range(bad, 0, 8, 4);
		build(HEADER + 3 * RANGE, 1); /* parsing trims the pieces */
		ck_assert_int_eq(parse(), UNSUPP);
	}
}
END_TEST

START_TEST(flag_of_each_range_is_its_own)
{
	build(HEADER + 3 * RANGE, 1);
	put_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
	for (uint32_t i = 0; i < 3; i++)
		put_range(i, i * 8, 8, i == 1 ? UNMAP : 0);
	ck_assert_int_eq(parse(), 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_int_eq(ranges[i].unmap, i == 1);
}
END_TEST

START_TEST(what_was_not_accepted_is_unsupported)
{
	static const unsigned int bits[] = { VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES };

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		build(HEADER + RANGE, 1);
		put_header(range_types[i], 0);
		put_range(0, 0, 8, 0);
		ck_assert_int_eq(blk_req_parse(&limits, ~BIT(bits[i]), &chain, ranges, &req),
				 UNSUPP);
		ck_assert_ptr_eq(req.status, in.flat[0]);
		build(HEADER + RANGE, 1);
		ck_assert_int_eq(blk_req_parse(&limits, BIT(bits[i]), &chain, ranges, &req), 0);
	}
}
END_TEST

/* Chains that are no request. */

static const uint32_t unknown_types[] = {
	2,
	3,
	5,
	6,
	7,
	9,
	10,
	12,
	14,
	15,			   /* SCSI, zones, and what is to come */
	VIRTIO_BLK_T_SECURE_ERASE, /* not offered */
	0x100,			   /* each byte of the type counts */
	0x10001,
	0x1000000,
	1u << 31, /* the old barrier flag */
	UINT32_MAX,
};

START_TEST(unknown_type_is_unsupported)
{
	ck_assert_int_eq(parse_io(unknown_types[_i], 0, 0), UNSUPP);
	ck_assert_ptr_eq(req.status, in.flat[0]);
	build(HEADER + RANGE, 513);
	put_header(unknown_types[_i], 0);
	ck_assert_int_eq(parse(), UNSUPP);
	ck_assert_ptr_eq(req.status, in.flat[512]);
}
END_TEST

START_TEST(short_header_is_an_error)
{
	struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_FLUSH) };

	for (size_t len = 0; len < HEADER; len++) {
		build(len, 3);
		put_out(0, &header, len);
		ck_assert_int_eq(parse(), IOERR);
		ck_assert_ptr_eq(req.status, in.flat[2]);
	}
	build(0, 0);
	ck_assert_int_eq(parse(), IOERR);
	ck_assert_ptr_null(req.status);
}
END_TEST

START_TEST(without_a_writable_byte_there_is_no_status)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
					  VIRTIO_BLK_T_GET_ID };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		build(HEADER + 512, 0);
		put_header(types[i], 0);
		ck_assert_int_eq(parse(), IOERR);
		ck_assert_ptr_null(req.status);
	}
}
END_TEST

START_TEST(fault_is_an_error_whatever_the_chain_says)
{
	static const int faults[] = { -EFAULT, -EPROTO };

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		build(HEADER, 513);
		put_header(VIRTIO_BLK_T_IN, 0);
		chain.fault = faults[i];
		ck_assert_int_eq(parse(), IOERR);
		ck_assert_ptr_eq(req.status, in.flat[512]); /* it is answered where it can be */
		chain.last_in = NULL;
		ck_assert_int_eq(parse(), IOERR);
		ck_assert_ptr_null(req.status);
	}
}
END_TEST

/* Names and results. */

static const struct {
	int err;
	uint8_t status;
} results[] = {
	{ 0, VIRTIO_BLK_S_OK }, { -EOPNOTSUPP, UNSUPP }, { -EIO, IOERR },
	{ -ENOSPC, IOERR },	{ -ENODATA, IOERR },	 { -EINVAL, IOERR },
	{ -ENOMEM, IOERR },	{ -ECANCELED, IOERR },	 { -ENOSYS, IOERR },
};

START_TEST(result_becomes_a_status)
{
	ck_assert_uint_eq(blk_status(results[_i].err), results[_i].status);
}
END_TEST

START_TEST(each_operation_has_a_name)
{
	ck_assert_str_eq(blk_op_name(BLK_READ), "read");
	ck_assert_str_eq(blk_op_name(BLK_WRITE), "write");
	ck_assert_str_eq(blk_op_name(BLK_FLUSH), "flush");
	ck_assert_str_eq(blk_op_name(BLK_DISCARD), "discard");
	ck_assert_str_eq(blk_op_name(BLK_WRITE_ZEROES), "write zeroes");
	ck_assert_str_eq(blk_op_name(BLK_GET_ID), "get id");
	ck_assert_ptr_nonnull(blk_op_name((enum blk_op)77));
}
END_TEST

static TCase *offer_case(void)
{
	TCase *tc = tcase_create("offer");

	tcase_add_checked_fixture(tc, setup, test_log_end);
	tcase_add_loop_test(tc, features_are_what_the_limits_mean, 0, ARRAY_SIZE(offers));
	tcase_add_test(tc, config_space_is_little_endian);
	tcase_add_test(tc, config_space_without_discard_says_nothing_of_it);
	tcase_add_loop_test(tc, topology_is_in_blocks_and_discard_in_sectors, 0,
			    ARRAY_SIZE(topologies));
	tcase_add_loop_test(tc, result_becomes_a_status, 0, ARRAY_SIZE(results));
	tcase_add_test(tc, each_operation_has_a_name);
	return tc;
}

static TCase *parse_case(void)
{
	TCase *tc = tcase_create("parse");

	tcase_add_checked_fixture(tc, setup, test_log_end);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, write_in_three_pieces_cut_anywhere);
	tcase_add_test(tc, read_in_three_pieces_cut_anywhere);
	tcase_add_test(tc, ranges_in_three_pieces_cut_anywhere);
	tcase_add_test(tc, one_piece_and_single_bytes_mean_the_same);
	tcase_add_test(tc, header_cut_in_all_ways);
	tcase_add_loop_test(tc, transfer_stays_on_the_disk_and_in_whole_blocks, 0,
			    ARRAY_SIZE(transfers));
	tcase_add_test(tc, read_only_disk_is_read_and_not_changed);
	tcase_add_test(tc, flush_needs_no_sector);
	tcase_add_loop_test(tc, get_id_takes_a_buffer_of_any_size, 0, ARRAY_SIZE(id_sizes));
	tcase_add_loop_test(tc, used_length_claims_no_byte_that_is_not_written, 0,
			    ARRAY_SIZE(claims));
	tcase_add_test(tc, used_length_of_a_huge_read_is_not_more_than_it);
	tcase_add_loop_test(tc, range_is_judged, 0, ARRAY_SIZE(one_range));
	tcase_add_loop_test(tc, ranges_are_counted, 0, ARRAY_SIZE(range_lens));
	tcase_add_test(tc, more_ranges_than_32_bits_count_are_refused);
	tcase_add_test(tc, one_bad_range_refuses_all);
	tcase_add_test(tc, flag_of_each_range_is_its_own);
	tcase_add_test(tc, what_was_not_accepted_is_unsupported);
	tcase_add_loop_test(tc, unknown_type_is_unsupported, 0, ARRAY_SIZE(unknown_types));
	tcase_add_test(tc, short_header_is_an_error);
	tcase_add_test(tc, without_a_writable_byte_there_is_no_status);
	tcase_add_test(tc, fault_is_an_error_whatever_the_chain_says);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio_blk");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, offer_case());
	suite_add_tcase(suite, parse_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
