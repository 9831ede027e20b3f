// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/virtio_blk.c: reads, writes, flush, id; in whatever pieces a request comes. */
#include <check.h>
#include <string.h>

#include "blk_fixture.h"
#include "iov.h"
#include "suite.h"
#include "test_log.h"

static bool write_is_understood(void)
{
	vb_build(HEADER + 512, 1);
	vb_put_header(VIRTIO_BLK_T_OUT, 7);
	return vb_parse() == 0 && vb_req.op == BLK_WRITE && vb_req.offset == 7 * 512 &&
	       vb_data_is(&vb_out, HEADER, HEADER + 512) && vb_req.status == vb_in.flat[0] &&
	       vb_req.used_len == 1 && vb_req.range_count == 0;
}

static bool read_is_understood(void)
{
	vb_build(HEADER, 513);
	vb_put_header(VIRTIO_BLK_T_IN, 7);
	return vb_parse() == 0 && vb_req.op == BLK_READ && vb_req.offset == 7 * 512 &&
	       vb_data_is(&vb_in, 0, 512) && vb_req.status == vb_in.flat[512] &&
	       vb_req.used_len == 513 && vb_req.range_count == 0;
}

static bool discard_is_understood(void)
{
	vb_build(HEADER + 2 * RANGE, 1);
	vb_put_header(VIRTIO_BLK_T_DISCARD, 0);
	vb_put_range(0, 16, 8, 0);
	vb_put_range(1, 1024, 512, 0);
	return vb_parse() == 0 && vb_req.op == BLK_DISCARD && vb_req.range_count == 2 &&
	       vb_ranges[0].offset == 16 * 512 && vb_ranges[0].len == 8 * 512 &&
	       vb_ranges[1].offset == 1024 * 512 && vb_ranges[1].len == 512 * 512 &&
	       vb_req.status == vb_in.flat[0] && vb_req.used_len == 1;
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
	cut_everywhere(vb_cut_out, HEADER + 512, write_is_understood);
}
END_TEST

START_TEST(read_in_three_pieces_cut_anywhere)
{
	cut_everywhere(vb_cut_in, 513, read_is_understood);
	cut_everywhere(vb_cut_out, HEADER, read_is_understood);
}
END_TEST

START_TEST(ranges_in_three_pieces_cut_anywhere)
{
	cut_everywhere(vb_cut_out, HEADER + 2 * RANGE, discard_is_understood);
}
END_TEST

START_TEST(one_piece_and_single_bytes_mean_the_same)
{
	ck_assert(write_is_understood());
	ck_assert_uint_eq(vb_req.iov_count, 1); /* header and data glued together */
	ck_assert(read_is_understood());
	ck_assert_uint_eq(vb_req.iov_count, 1); /* data and status glued together */
	ck_assert(discard_is_understood());

	memset(vb_cut_in, true, sizeof(vb_cut_in));
	memset(vb_cut_out, true, sizeof(vb_cut_out));
	ck_assert(write_is_understood());
	ck_assert_uint_eq(vb_req.iov_count, 512);
	ck_assert(read_is_understood());
	ck_assert_uint_eq(vb_req.iov_count, 512);
	ck_assert(discard_is_understood());
}
END_TEST

START_TEST(header_cut_in_all_ways)
{
	for (uint32_t cuts = 0; cuts < 1u << (HEADER - 1); cuts++) {
		for (size_t i = 1; i < HEADER; i++)
			vb_cut_out[i] = cuts & (1u << (i - 1));
		vb_build(HEADER, 513);
		vb_put_header(VIRTIO_BLK_T_IN, SECTORS - 1);
		if (vb_parse() || vb_req.op != BLK_READ || vb_req.offset != DISK - 512 ||
		    vb_req.len != 512)
			ck_abort_msg("header cut by %#x", cuts);
	}
}
END_TEST

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

	vb_limits.size = transfers[_i].size;
	vb_limits.logical_block = transfers[_i].block;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int status = transfers[_i].len ? vb_parse_huge(types[i], transfers[_i].sector,
							       transfers[_i].len)
					       : vb_parse_io(types[i], transfers[_i].sector, 0);

		ck_assert_int_eq(status, transfers[_i].status);
		ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
		if (status)
			continue;
		ck_assert_int_eq(vb_req.op, i ? BLK_WRITE : BLK_READ);
		ck_assert_uint_eq(vb_req.offset, transfers[_i].sector * 512);
		ck_assert_uint_eq(vb_req.len, transfers[_i].len);
		ck_assert_uint_eq(vb_req.iov_count, transfers[_i].len ? 1 : 0);
	}
}
END_TEST

START_TEST(read_only_disk_is_read_and_not_changed)
{
	vb_limits.readonly = true;
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_IN, 0, 512), 0);
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_GET_ID, 0, 20), 0);
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_OUT, 0, 512), IOERR);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_OUT, 0, 0), IOERR);
	ck_assert_int_eq(vb_parse_one_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), IOERR);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
	ck_assert_int_eq(vb_parse_one_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), IOERR);
}
END_TEST

START_TEST(flush_needs_no_sector)
{
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(vb_req.op, BLK_FLUSH);
	ck_assert_uint_eq(vb_req.used_len, 1);
	ck_assert_uint_eq(vb_req.range_count, 0);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[0]);
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0), 0);
	vb_limits.flush = false; /* a driver may send it anyway */
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_FLUSH, 0, 0), 0);
	ck_assert_int_eq(blk_req_parse(&vb_limits, 0, &vb_chain, vb_ranges, &vb_req), 0);
}
END_TEST

static const size_t id_sizes[] = { 20, 19, 1, 0, 21, 512 };

START_TEST(get_id_takes_a_buffer_of_any_size)
{
	size_t size = id_sizes[_i];
	uint8_t id[VIRTIO_BLK_ID_BYTES];

	memset(id, 'x', sizeof(id));
	ck_assert_int_eq(vb_parse_io(VIRTIO_BLK_T_GET_ID, UINT64_MAX, size), 0);
	ck_assert_int_eq(vb_req.op, BLK_GET_ID);
	ck_assert(vb_data_is(&vb_in, 0, size));
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[size]);
	ck_assert_uint_eq(iov_from_buf(vb_req.iov, vb_req.iov_count, id, sizeof(id)),
			  MIN(size, 20));
	if (size <= 20)
		ck_assert_uint_eq(vb_req.used_len, size + 1);
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
	vb_build(HEADER + claims[_i].out, claims[_i].in);
	vb_put_header(claims[_i].type, 0);
	if (claims[_i].out == RANGE)
		vb_put_range(0, 0, 8, 0);
	ck_assert_int_eq(vb_parse(), 0);
	ck_assert_ptr_eq(vb_req.status, vb_in.flat[claims[_i].in - 1]);
	ck_assert_uint_eq(vb_req.used_len, claims[_i].written);
}
END_TEST

START_TEST(used_length_of_a_huge_read_is_not_more_than_it)
{
	vb_limits.size = 1ull << 40;
	ck_assert_int_eq(vb_parse_huge(VIRTIO_BLK_T_IN, 0, (1ull << 32) - 512), 0);
	ck_assert_uint_eq(vb_req.used_len, UINT32_MAX - 510);
	ck_assert_int_eq(vb_parse_huge(VIRTIO_BLK_T_IN, 0, 1ull << 32), 0);
	ck_assert_uint_eq(vb_req.len, 1ull << 32);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_blk_io");
	TCase *tc = suite_case(suite, "io", vb_setup, test_log_end);

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
	return suite_run(suite);
}
