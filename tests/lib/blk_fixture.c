// SPDX-License-Identifier: GPL-2.0-or-later
#include "blk_fixture.h"

#include <check.h>
#include <endian.h>
#include <string.h>

#include "test_log.h"

struct vb_side vb_out, vb_in;
struct iovec vb_iov[VIRTQ_MAX_IOV];
struct virtq_chain vb_chain;
struct blk_limits vb_limits;
struct blk_req vb_req;
struct blk_range vb_ranges[BLK_MAX_RANGES + 1];
bool vb_cut_out[BYTES_MAX + 1], vb_cut_in[BYTES_MAX + 1];

void vb_setup(void)
{
	test_log_begin();
	vb_limits = (struct blk_limits){
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
	memset(vb_cut_out, 0, sizeof(vb_cut_out));
	memset(vb_cut_in, 0, sizeof(vb_cut_in));
}

/* Appends the pieces of one side to @iov. Return: how many */
static uint32_t lay_out(struct vb_side *side, size_t len, const bool *cut, struct iovec *to)
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
void vb_build(size_t out_len, size_t in_len)
{
	vb_chain = (struct virtq_chain){ .iov = vb_iov, .out_bytes = out_len, .in_bytes = in_len };
	vb_chain.out_count = lay_out(&vb_out, out_len, vb_cut_out, vb_iov);
	vb_chain.in_count = lay_out(&vb_in, in_len, vb_cut_in, vb_iov + vb_chain.out_count);
	vb_chain.last_in = in_len ? vb_in.flat[in_len - 1] : NULL;
	memset(&vb_req, 0xee, sizeof(vb_req));
	memset(vb_ranges, 0xee, sizeof(vb_ranges));
}

void vb_put_out(size_t at, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*vb_out.flat[at + i] = ((const uint8_t *)data)[i];
}

void vb_put_header(uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = {
		.type = htole32(type),
		.ioprio = 0xffffffff, /* means nothing to a device */
		.sector = htole64(sector),
	};

	vb_put_out(0, &header, HEADER);
}

void vb_put_range(uint32_t index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes raw = {
		.sector = htole64(sector),
		.num_sectors = htole32(sectors),
		.flags = htole32(flags),
	};

	vb_put_out(HEADER + index * RANGE, &raw, RANGE);
}

int vb_parse(void)
{
	return blk_req_parse(&vb_limits, ALL, &vb_chain, vb_ranges, &vb_req);
}

/* Parses one request with @len bytes of data in the direction that suits it. */
int vb_parse_io(uint32_t type, uint64_t sector, size_t len)
{
	bool to_driver = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	vb_build(HEADER + (to_driver ? 0 : len), 1 + (to_driver ? len : 0));
	vb_put_header(type, sector);
	return vb_parse();
}

/*
 * The same where the data would not fit our memory: nobody looks at more than the first range, so
 * that one piece with no memory behind it stands for all.
 */
int vb_parse_huge(uint32_t type, uint64_t sector, size_t len)
{
	static struct virtio_blk_discard_write_zeroes nothing; /* a good range, of no sectors */
	struct iovec data = { .iov_base = &nothing, .iov_len = len };

	vb_build(HEADER, 1);
	vb_put_header(type, sector);
	if (type == VIRTIO_BLK_T_IN) {
		vb_iov[2] = vb_iov[1];
		vb_iov[1] = data;
		vb_chain.in_count++;
		vb_chain.in_bytes += len;
	} else {
		vb_iov[2] = vb_iov[1];
		vb_iov[1] = data;
		vb_chain.out_count++;
		vb_chain.out_bytes += len;
	}
	return vb_parse();
}

int vb_parse_one_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	vb_build(HEADER + RANGE, 1);
	vb_put_header(type, 0xdeadbeef); /* the header's sector means nothing here */
	vb_put_range(0, sector, sectors, flags);
	return vb_parse();
}

/* Is the request's data bytes [from, to) of @side, in pieces that are not empty? */
bool vb_data_is(const struct vb_side *side, size_t from, size_t to)
{
	size_t n = from;

	for (uint32_t i = 0; i < vb_req.iov_count; i++) {
		if (!vb_req.iov[i].iov_len || n + vb_req.iov[i].iov_len > to)
			return false;
		for (size_t j = 0; j < vb_req.iov[i].iov_len; j++)
			if ((uint8_t *)vb_req.iov[i].iov_base + j != side->flat[n++])
				return false;
	}
	return n == to && vb_req.len == to - from;
}
