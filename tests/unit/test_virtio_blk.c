// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/virtio_blk.c: what is offered to a driver, and what it is told at the end. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "blk_fixture.h"
#include "suite.h"
#include "test_log.h"

#define BASE                                                                                       \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_RING_F_EVENT_IDX) |  \
	 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY))

static const struct {
	struct blk_limits limits;
	uint64_t features;
} offers[] = {
	{ { .queues = 1 }, BASE },
	{ { .queues = 1, .indirect = true }, BASE | BIT(VIRTIO_RING_F_INDIRECT_DESC) },
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

	vb_limits = (struct blk_limits){
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
	virtio_blk_config(&vb_limits, &config);
	ck_assert_uint_le(sizeof(want), sizeof(config));
	ck_assert_mem_eq(&config, want, sizeof(want));
	for (size_t i = sizeof(want); i < sizeof(config); i++) /* what newer headers add */
		ck_assert_uint_eq(((uint8_t *)&config)[i], 0);
}
END_TEST

START_TEST(config_space_without_discard_says_nothing_of_it)
{
	struct virtio_blk_config config;

	vb_limits.discard = vb_limits.write_zeroes = false;
	virtio_blk_config(&vb_limits, &config);
	ck_assert_uint_eq(le64toh(config.capacity), SECTORS);
	ck_assert_uint_eq(config.max_discard_sectors, 0);
	ck_assert_uint_eq(config.max_discard_seg, 0);
	ck_assert_uint_eq(config.discard_sector_alignment, 0);
	ck_assert_uint_eq(config.max_write_zeroes_sectors, 0);
	ck_assert_uint_eq(config.max_write_zeroes_seg, 0);
	ck_assert_uint_eq(config.write_zeroes_may_unmap, 0);

	vb_limits.discard = true;
	virtio_blk_config(&vb_limits, &config);
	ck_assert_uint_eq(le32toh(config.max_discard_sectors), 512);
	ck_assert_uint_eq(config.max_write_zeroes_sectors, 0);

	vb_limits.discard = false;
	vb_limits.write_zeroes = true;
	virtio_blk_config(&vb_limits, &config);
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

	vb_limits.logical_block = topologies[_i].logical;
	vb_limits.physical_block = topologies[_i].physical;
	vb_limits.alignment_offset = topologies[_i].alignment;
	vb_limits.io_min = topologies[_i].io_min;
	vb_limits.io_opt = topologies[_i].io_opt;
	vb_limits.discard_granularity = topologies[_i].granularity;
	virtio_blk_config(&vb_limits, &config);
	ck_assert_uint_eq(le64toh(config.capacity), SECTORS);
	ck_assert_uint_eq(le32toh(config.blk_size), topologies[_i].logical);
	ck_assert_uint_eq(config.physical_block_exp, topologies[_i].physical_exp);
	ck_assert_uint_eq(config.alignment_offset, topologies[_i].alignment_blocks);
	ck_assert_uint_eq(le16toh(config.min_io_size), topologies[_i].min_blocks);
	ck_assert_uint_eq(le32toh(config.opt_io_size), topologies[_i].opt_blocks);
	ck_assert_uint_eq(le32toh(config.discard_sector_alignment), topologies[_i].discard_sectors);
}
END_TEST

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

int main(void)
{
	Suite *suite = suite_create("virtio_blk");
	TCase *tc = suite_case(suite, "offer", vb_setup, test_log_end);

	tcase_add_loop_test(tc, features_are_what_the_limits_mean, 0, ARRAY_SIZE(offers));
	tcase_add_test(tc, config_space_is_little_endian);
	tcase_add_test(tc, config_space_without_discard_says_nothing_of_it);
	tcase_add_loop_test(tc, topology_is_in_blocks_and_discard_in_sectors, 0,
			    ARRAY_SIZE(topologies));
	tcase_add_loop_test(tc, result_becomes_a_status, 0, ARRAY_SIZE(results));
	return suite_run(suite);
}
