// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/virtio_blk.c: discard, write zeroes, and chains that are no request. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "blk_fixture.h"
#include "suite.h"
#include "test_log.h"

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
	vb_limits.logical_block = one_range[_i].block;
	ck_assert_int_eq(vb_parse_one_range(one_range[_i].type, one_range[_i].sector,
					    one_range[_i].sectors, one_range[_i].flags),
			 one_range[_i].status);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
	if (one_range[_i].status)
		return;
	ck_assert_int_eq(vb_req.op, one_range[_i].type == VIRTIO_BLK_T_DISCARD ? BLK_DISCARD
									       : BLK_WRITE_ZEROES);
	ck_assert_uint_eq(vb_req.range_count, 1);
	ck_assert_uint_eq(vb_req.used_len, 1);
	ck_assert_uint_eq(vb_ranges[0].offset, one_range[_i].sector * 512);
	ck_assert_uint_eq(vb_ranges[0].len, (uint64_t)one_range[_i].sectors * 512);
	ck_assert_int_eq(vb_ranges[0].unmap, one_range[_i].flags & UNMAP);
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
		vb_build(HEADER + len, 1);
		vb_put_header(range_types[type], 0);
		for (uint32_t i = 0; i < len / RANGE; i++)
			vb_put_range(i, i, i + 1, 0);
		ck_assert_int_eq(vb_parse(), range_lens[_i].status);
		ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
		ck_assert_mem_eq(&vb_ranges[BLK_MAX_RANGES], &guard, sizeof(guard));
		if (range_lens[_i].status)
			continue;
		ck_assert_uint_eq(vb_req.range_count, len / RANGE);
		for (uint32_t i = 0; i < vb_req.range_count; i++) {
			ck_assert_uint_eq(vb_ranges[i].offset, i * 512);
			ck_assert_uint_eq(vb_ranges[i].len, (i + 1) * 512);
		}
	}
}
END_TEST

START_TEST(more_ranges_than_32_bits_count_are_refused)
{
	/* 2^32 + 1 of them: cut to 32 bits, it would be one */
	ck_assert_int_eq(vb_parse_huge(VIRTIO_BLK_T_DISCARD, 0, RANGE * ((1ull << 32) + 1)), IOERR);
}
END_TEST

START_TEST(one_bad_range_refuses_all)
{
	for (uint32_t bad = 0; bad < 3; bad++) {
		vb_build(HEADER + 3 * RANGE, 1);
		vb_put_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
		for (uint32_t i = 0; i < 3; i++)
			vb_put_range(i, i * 8, 8, UNMAP);
		vb_put_range(bad, SECTORS, 8, UNMAP);
		ck_assert_int_eq(vb_parse(), IOERR);

		vb_put_range(bad, 0, 8, 4);
		vb_build(HEADER + 3 * RANGE, 1); /* parsing trims the pieces */
		ck_assert_int_eq(vb_parse(), UNSUPP);
	}
}
END_TEST

START_TEST(flag_of_each_range_is_its_own)
{
	vb_build(HEADER + 3 * RANGE, 1);
	vb_put_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
	for (uint32_t i = 0; i < 3; i++)
		vb_put_range(i, i * 8, 8, i == 1 ? UNMAP : 0);
	ck_assert_int_eq(vb_parse(), 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_int_eq(vb_ranges[i].unmap, i == 1);
}
END_TEST

START_TEST(what_was_not_accepted_is_unsupported)
{
	static const unsigned int bits[] = { VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES };

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		vb_build(HEADER + RANGE, 1);
		vb_put_header(range_types[i], 0);
		vb_put_range(0, 0, 8, 0);
		ck_assert_int_eq(
			blk_req_parse(&vb_limits, ~BIT(bits[i]), &vb_chain, vb_ranges, &vb_req),
			UNSUPP);
		ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
		vb_build(HEADER + RANGE, 1);
		ck_assert_int_eq(
			blk_req_parse(&vb_limits, BIT(bits[i]), &vb_chain, vb_ranges, &vb_req), 0);
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
	ck_assert_int_eq(vb_parse_io(unknown_types[_i], 0, 0), UNSUPP);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
	vb_build(HEADER + RANGE, 513);
	vb_put_header(unknown_types[_i], 0);
	ck_assert_int_eq(vb_parse(), UNSUPP);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[512]);
}
END_TEST

START_TEST(short_header_is_an_error)
{
	struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_FLUSH) };

	for (size_t len = 0; len < HEADER; len++) {
		vb_build(len, 3);
		vb_put_out(0, &header, len);
		ck_assert_int_eq(vb_parse(), IOERR);
		ck_assert_ptr_eq(vb_req.status, vb_in.flat[2]);
	}
	vb_build(0, 0);
	ck_assert_int_eq(vb_parse(), IOERR);
	ck_assert_ptr_null(vb_req.status);
}
END_TEST

START_TEST(without_a_writable_byte_there_is_no_status)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
					  VIRTIO_BLK_T_GET_ID };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		vb_build(HEADER + 512, 0);
		vb_put_header(types[i], 0);
		ck_assert_int_eq(vb_parse(), IOERR);
		ck_assert_ptr_null(vb_req.status);
	}
}
END_TEST

START_TEST(fault_is_an_error_whatever_the_chain_says)
{
	static const int faults[] = { -EFAULT, -EPROTO };

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		vb_build(HEADER, 513);
		vb_put_header(VIRTIO_BLK_T_IN, 0);
		vb_chain.fault = faults[i];
		ck_assert_int_eq(vb_parse(), IOERR);
		ck_assert_ptr_eq(vb_req.status,
				 vb_in.flat[512]); /* it is answered where it can be */
		vb_chain.last_in = NULL;
		ck_assert_int_eq(vb_parse(), IOERR);
		ck_assert_ptr_null(vb_req.status);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_blk_ranges");
	TCase *tc = suite_case(suite, "ranges", vb_setup, test_log_end);

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
	return suite_run(suite);
}
