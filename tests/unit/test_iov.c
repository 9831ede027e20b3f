// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/iov.c against a plain list of the bytes that an iovec array means. */
#include <check.h>
#include <string.h>

#include "compiler.h"
#include "iov.h"
#include "suite.h"
#include "test_log.h"

#define PIECES_MAX 8
#define BYTES_MAX  64

/* Arrays of pieces, by their lengths. */
static const struct {
	uint32_t count;
	size_t lens[PIECES_MAX];
} shapes[] = {
	{ 0, { 0 } },
	{ 1, { 0 } },
	{ 1, { 1 } },
	{ 1, { 16 } },
	{ 2, { 0, 0 } },
	{ 2, { 16, 1 } },
	{ 2, { 1, 16 } },
	{ 3, { 0, 16, 0 } },
	{ 3, { 5, 0, 5 } },
	{ 4, { 1, 1, 1, 1 } },
	{ 8, { 0, 0, 3, 0, 0, 4, 0, 0 } },
	{ 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
	{ 8, { 8, 7, 6, 5, 4, 3, 2, 1 } },
};

static struct iovec pieces[PIECES_MAX];
static uint8_t *flat[BYTES_MAX]; /* where each byte of the shape lies */
static size_t total;
static uint8_t memory[4 * BYTES_MAX];

/* Every byte of memory is different from its neighbours; a gap is before, after and between. */
static void lay_out(int shape)
{
	uint8_t *at = memory + 1;

	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)i;
	total = 0;
	for (uint32_t i = 0; i < shapes[shape].count; i++) {
		pieces[i] = (struct iovec){ .iov_base = at, .iov_len = shapes[shape].lens[i] };
		for (size_t j = 0; j < pieces[i].iov_len; j++)
			flat[total++] = at + j;
		at += pieces[i].iov_len + 3;
	}
}

/* Do the pieces mean bytes [from, to) of what was laid out? */
static void expect_bytes(const struct iovec *iov, uint32_t count, size_t from, size_t to)
{
	size_t n = from;

	for (uint32_t i = 0; i < count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++, n++) {
			ck_assert_uint_lt(n, to);
			ck_assert_ptr_eq((uint8_t *)iov[i].iov_base + j, flat[n]);
		}
	ck_assert_uint_eq(n, to);
}

START_TEST(to_buf_takes_the_first_bytes_and_no_more)
{
	lay_out(_i);
	for (size_t len = 0; len <= total + 2; len++) {
		size_t want = MIN(len, total);
		uint8_t buf[BYTES_MAX];

		memset(buf, 0xee, sizeof(buf));
		ck_assert_uint_eq(iov_to_buf(pieces, shapes[_i].count, buf, len), want);
		for (size_t i = 0; i < sizeof(buf); i++)
			ck_assert_uint_eq(buf[i], i < want ? *flat[i] : 0xee);
	}
	expect_bytes(pieces, shapes[_i].count, 0, total);
}
END_TEST

START_TEST(from_buf_fills_the_first_bytes_and_no_more)
{
	uint8_t buf[BYTES_MAX], want[sizeof(memory)];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(0x80 + i);
	lay_out(_i);
	for (size_t len = 0; len <= total + 2; len++) {
		lay_out(_i);
		memcpy(want, memory, sizeof(want));
		for (size_t i = 0; i < MIN(len, total); i++)
			want[flat[i] - memory] = buf[i];
		ck_assert_uint_eq(iov_from_buf(pieces, shapes[_i].count, buf, len),
				  MIN(len, total));
		ck_assert_mem_eq(memory, want, sizeof(want));
	}
	expect_bytes(pieces, shapes[_i].count, 0, total);
}
END_TEST

START_TEST(skip_leaves_the_rest)
{
	lay_out(_i);
	for (size_t len = 0; len <= total + 2; len++) {
		uint32_t count = shapes[_i].count;
		struct iovec *iov = pieces;

		lay_out(_i);
		iov_skip(&iov, &count, len);
		expect_bytes(iov, count, MIN(len, total), total);
		ck_assert_ptr_eq(iov + count, pieces + shapes[_i].count);
		if (count) /* an exact end takes the piece, and empty ones after it, along */
			ck_assert_uint_gt(iov->iov_len, 0);
	}
}
END_TEST

START_TEST(skips_add_up)
{
	lay_out(_i);
	for (size_t step = 1; step <= total; step++) {
		uint32_t count = shapes[_i].count;
		struct iovec *iov = pieces;

		lay_out(_i);
		for (size_t done = 0; done < total; done += step) {
			expect_bytes(iov, count, done, total);
			iov_skip(&iov, &count, step);
		}
		ck_assert_uint_eq(count, 0);
	}
}
END_TEST

START_TEST(truncate_keeps_the_first_bytes_in_as_few_pieces)
{
	lay_out(_i);
	for (size_t len = 0; len <= total + 2; len++) {
		size_t need = MIN(len, total), sum = 0;
		uint32_t left, min = 0;

		lay_out(_i);
		left = iov_truncate(pieces, shapes[_i].count, len);
		expect_bytes(pieces, left, 0, need);
		while (sum < need)
			sum += shapes[_i].lens[min++];
		if (len <= total)
			ck_assert_uint_eq(left, min);
		else
			ck_assert_uint_eq(left, shapes[_i].count);
	}
}
END_TEST

static const struct {
	uint32_t count;
	struct {
		uintptr_t addr;
		size_t len;
	} pieces[3];
	size_t addr_mask, len_mask;
	int aligned;
} alignments[] = {
	{ 0, { { 0, 0 } }, 511, 511, 1 },
	{ 1, { { 0x1000, 512 } }, 511, 511, 1 },
	{ 1, { { 0x1001, 512 } }, 511, 511, 0 },
	{ 1, { { 0x1100, 512 } }, 511, 511, 0 },
	{ 1, { { 0x1000, 511 } }, 511, 511, 0 },
	{ 1, { { 0x1000, 513 } }, 511, 511, 0 },
	{ 1, { { 0x1001, 513 } }, 511, 511, 0 },
	{ 1, { { 0x1001, 513 } }, 0, 0, 1 },
	{ 1, { { 0x1001, 512 } }, 0, 511, 1 },
	{ 1, { { 0x1000, 513 } }, 511, 0, 1 },
	{ 1, { { 0x1004, 512 } }, 3, 511, 1 }, /* the two masks are not mixed up */
	{ 1, { { 0x1200, 4 } }, 511, 3, 1 },
	{ 1, { { 0x1004, 512 } }, 511, 3, 0 },
	{ 1, { { 0x1200, 4 } }, 3, 511, 0 },
	{ 3, { { 0x1000, 512 }, { 0x3000, 1024 }, { 0x5200, 4096 } }, 511, 511, 1 },
	{ 3, { { 0x1008, 512 }, { 0x3000, 1024 }, { 0x5200, 4096 } }, 511, 511, 0 },
	{ 3, { { 0x1000, 512 }, { 0x3008, 1024 }, { 0x5200, 4096 } }, 511, 511, 0 },
	{ 3, { { 0x1000, 512 }, { 0x3000, 1024 }, { 0x5208, 4096 } }, 511, 511, 0 },
	{ 3, { { 0x1000, 256 }, { 0x3000, 256 }, { 0x5000, 512 } }, 511, 511, 0 },
	{ 3, { { 0x1000, 512 }, { 0x3000, 256 }, { 0x5000, 256 } }, 511, 511, 0 },
	{ 2, { { 0x1000, 0 }, { 0x3000, 512 } }, 511, 511, 1 },
	{ 2, { { 0x1000, 4096 }, { 0x3200, 4096 } }, 4095, 4095, 0 },
};

START_TEST(aligned_is_when_each_piece_is)
{
	struct iovec iov[3];

	for (uint32_t i = 0; i < alignments[_i].count; i++)
		iov[i] = (struct iovec){ .iov_base = (void *)alignments[_i].pieces[i].addr,
					 .iov_len = alignments[_i].pieces[i].len };
	ck_assert_int_eq(iov_is_aligned(iov, alignments[_i].count, alignments[_i].addr_mask,
					alignments[_i].len_mask),
			 alignments[_i].aligned);
}
END_TEST

START_TEST(join_makes_one_of_what_lies_side_by_side)
{
	uint8_t bytes[64];
	struct iovec in[] = {
		{ bytes, 4 },	   { bytes + 4, 8 }, { bytes + 13, 3 },
		{ bytes + 16, 1 }, { bytes, 13 },    { bytes + 13, 1 },
	};
	struct iovec out[ARRAY_SIZE(in)];

	ck_assert_uint_eq(iov_join(in, 0, out), 0);
	ck_assert_uint_eq(iov_join(in, ARRAY_SIZE(in), out), 3);
	ck_assert(out[0].iov_base == bytes && out[0].iov_len == 12);
	ck_assert(out[1].iov_base == bytes + 13 && out[1].iov_len == 4);
	ck_assert(out[2].iov_base == bytes && out[2].iov_len == 14);
	ck_assert_uint_eq(in[0].iov_len, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iov");
	TCase *tc = suite_case(suite, "iov", test_log_begin, test_log_end);

	tcase_add_loop_test(tc, to_buf_takes_the_first_bytes_and_no_more, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, from_buf_fills_the_first_bytes_and_no_more, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, skip_leaves_the_rest, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, skips_add_up, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, truncate_keeps_the_first_bytes_in_as_few_pieces, 0,
			    ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, aligned_is_when_each_piece_is, 0, ARRAY_SIZE(alignments));
	tcase_add_test(tc, join_makes_one_of_what_lies_side_by_side);
	return suite_run(suite);
}
