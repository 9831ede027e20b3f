// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Large transfers of the file store, cut into parts.
 *
 * A transfer that is larger than one operation of the disk is cut into parts, for two reasons. The
 * block layer does not split a request with RWF_NOWAIT (block/blk-merge.c). And a read from the
 * page cache is copied on the worker, while its other queues wait. Several parts, a batch, are
 * under way at a time. The next batch begins when all of them are done. So the amount under way is
 * limited, however long the request is.
 */
#include "file_store.h"
#include "iov.h"

/* Parts end at multiples of this, so that the next part is aligned for every disk. */
#define PART_ALIGN 4096u

/* The limit for what one request has under way. */
#define BATCH_PARTS 16u
#define BATCH_BYTES (4u << 20) /* REQUEST_BYTES_MAX of queue.h */

/* A batch is done. If a part failed or was short, the batch is repeated, one step at a time. */
static void batch_done(struct backend_io *io)
{
	struct file_io *own = file_io(io);
	bool whole = own->batch_done == own->batch_bytes;

	if (whole)
		io->done_bytes += own->batch_bytes;
	if (io->done_bytes == io->len) {
		io_finish_changed(io, 0);
		return;
	}
	if (io->cancelled) {
		io_finish(io, -ECANCELED);
		return;
	}
	if (whole)
		iov_skip(&io->iov, &io->iov_count, own->batch_bytes);
	own->one_by_one = !whole;
	own->iopoll = own->iopoll && whole; /* the disk may have refused polling */
	file_rw_rest(io);
}

/* The parts share one ring_op. */
static void part_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = io_of_ring_op(op);

	(void)flags;
	file_io(io)->batch_done += res > 0 ? (uint64_t)res : 0;
	if (!--file_io(io)->parts)
		batch_done(io);
}

static void part_start(struct backend_io *io, const struct iovec *iov, uint32_t count,
		       uint64_t bytes)
{
	struct file_io *own = file_io(io);

	file_rw_submit(io, iov, count, io->done_bytes + own->batch_bytes, part_done);
	own->parts++;
	own->batch_bytes += bytes;
}

static bool batch_takes_more(const struct backend_io *io)
{
	return file_io(io)->parts < BATCH_PARTS && file_io(io)->batch_bytes < BATCH_BYTES;
}

/* Cuts one piece into parts. */
static void batch_cut(struct backend_io *io, const struct iovec *piece, size_t size)
{
	struct iovec part = { .iov_base = piece->iov_base };

	for (size_t left = piece->iov_len; left && batch_takes_more(io); left -= part.iov_len) {
		part.iov_len = MIN(left, size);
		part_start(io, &part, 1, part.iov_len);
		part.iov_base = (uint8_t *)part.iov_base + part.iov_len;
	}
}

/* Parts have about the same size. A part has whole pieces, or a piece of a piece that is too large. */
void file_batch_start(struct backend_io *io)
{
	struct file_io *own = file_io(io);
	const struct host_file *file = &store_of(io)->file;
	uint64_t count = (io_bytes_left(io) - 1) / file->part_max + 1;
	uint64_t size = ROUND_UP((io_bytes_left(io) - 1) / count + 1, (uint64_t)PART_ALIGN);
	uint32_t i = 0;

	own->parts = 0;
	own->batch_bytes = own->batch_done = 0;
	while (i < io->iov_count && batch_takes_more(io)) {
		uint32_t first = i;
		uint64_t bytes = 0;

		while (i < io->iov_count && i - first < file->part_pieces &&
		       bytes + io->iov[i].iov_len <= size)
			bytes += io->iov[i++].iov_len;
		if (bytes)
			part_start(io, &io->iov[first], i - first, bytes);
		else
			batch_cut(io, &io->iov[i++], size);
	}
}
