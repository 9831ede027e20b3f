// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads and writes of the file backend, in steps.
 *
 * A step is one operation. The worker first submits it to its ring with RWF_NOWAIT: without that
 * flag io_uring would pass a step that has to wait to one of a few threads that all disks of the
 * worker share. A step that would have to wait ends with EAGAIN, and a thread of the store does it.
 * After a short step another one follows.
 *
 * A transfer that is larger than one operation of the disk is cut into parts, for two reasons. The
 * block layer does not split a request with RWF_NOWAIT (block/blk-merge.c). And a read from the
 * page cache is copied on the worker, while its other queues wait. Several parts, a batch, are
 * under way at a time. The next batch begins when all of them are done. So the amount under way is
 * limited, however long the request is.
 *
 * Direct I/O. Memory or lengths that O_DIRECT refuses are copied through a staging buffer, one step
 * after the other. They do not go through the page cache: write-back of a page could undo a direct
 * write to another block of that page. A step that ended inside a block is repeated from the
 * beginning of that block.
 *
 * Direct I/O pins the memory. Since Linux 6.12.118 the kernel's bounce pages cannot be pinned
 * (VM_IO in vduse_domain_mmap()). From the first EFAULT on, all transfers of such a disk are
 * staged.
 */
#include <errno.h>
#include <limits.h>

#include "backend_file.h"
#include "iov.h"
#include "log.h"
#include "sigbus.h"
#include "store_kern.h"

/* Parts end at multiples of this, so that the next part is aligned for every disk. */
#define PART_ALIGN 4096u

/* The limit for what one request has under way. */
#define BATCH_PARTS 16u
#define BATCH_BYTES (4u << 20) /* REQUEST_BYTES_MAX of queue.h */

static bool is_write(const struct backend_io *io)
{
	return io->op == BACKEND_WRITE;
}

static uint64_t bytes_left(const struct backend_io *io)
{
	return io->len - io->done_bytes;
}

/* The cheapest operation that does it. */
static void prep(struct io_uring_sqe *sqe, const struct backend_io *io, const struct iovec *iov,
		 uint32_t count, uint64_t at)
{
	const struct store *store = &file_of(io)->store;
	unsigned int len = (unsigned int)iov->iov_len; /* of a part */
	bool write = is_write(io);

	at += store->offset + io->offset;
	if (count > 1) {
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, store->fd, iov,
				 MIN(count, (uint32_t)IOV_MAX), at);
	} else if (io->buffer && ring_buffer_has(io->buffer, iov->iov_base, iov->iov_len)) {
		io_uring_prep_rw(write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED, sqe,
				 store->fd, iov->iov_base, len, at);
		sqe->buf_index = io->buffer->index;
	} else {
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, store->fd,
				 iov->iov_base, len, at);
	}
	sqe->rw_flags = RWF_NOWAIT;
}

static struct io_uring_sqe *get_sqe(struct backend_io *io,
				    void (*done)(struct ring_op *op, int res, uint32_t flags))
{
	io->ring_op.done = done;
	if (unlikely(io->iopoll) && io->ring->has_iopoll)
		return ring_iopoll_sqe(io->ring);
	return ring_sqe(io->ring);
}

static bool must_stage(const struct backend_io *io)
{
	const struct file_backend *file = file_of(io);
	const struct store *store = &file->store;

	if (!store->direct)
		return false;
	return unlikely(load_relaxed(&file->no_pin)) ||
	       !iov_is_aligned(io->iov, io->iov_count, store->memory_align - 1,
			       store->length_align - 1);
}

/*
 * Without an attempt on the ring, where that was seen to be of no use; or where all threads of the
 * store wait for it already: a file system may wait for metadata in spite of RWF_NOWAIT.
 */
static bool must_wait(const struct backend_io *io)
{
	const struct file_backend *file = file_of(io);

	return load_relaxed(&file->no_nowait[is_write(io)]) ||
	       (!file->store.block_device && store_pool_is_behind(file->pool));
}

/* dm-crypt, thin volumes, NFS, FUSE and others: their reads and writes are all done by threads. */
static void forbid_nowait(struct backend_io *io)
{
	struct file_backend *file = file_of(io);

	store_relaxed(&file->no_nowait[is_write(io)], true);
	store_pool_widen(file->pool);
}

static void forbid_pinning(struct file_backend *file)
{
	if (!load_relaxed(&file->no_pin))
		log_info("%s: this kernel's bounce memory cannot be pinned: data are copied once "
			 "more (umem = on avoids that)",
			 file->name);
	store_relaxed(&file->no_pin, true);
}

/* What is to be in the staging buffer next. Return: 0; -ENOMEM; -EFAULT: memory is not there */
static int stage_fill(struct backend_io *io)
{
	uint64_t max = MIN(file_of(io)->store.part_max, (uint64_t)BACKEND_STAGE);
	void *stage = backend_stage(io);

	if (!stage)
		return -ENOMEM;
	io->piece = (struct iovec){ .iov_base = stage, .iov_len = MIN(bytes_left(io), max) };
	if (is_write(io))
		iov_to_buf(io->iov, io->iov_count, stage, io->piece.iov_len);
	/* Zeroes of a lost page must not be written. The queue stops after its next check. */
	return iov_is_lost(io->iov, io->iov_count, io->piece.iov_len) ? -EFAULT : 0;
}

/* As many pieces as a part takes; or as much of the first one. */
static void step_cut(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;
	uint64_t bytes = 0;

	io->step = io->iov;
	io->step_count = 0;
	while (io->step_count < io->iov_count && io->step_count < store->part_pieces &&
	       bytes + io->iov[io->step_count].iov_len <= store->part_max)
		bytes += io->iov[io->step_count++].iov_len;
	if (io->step_count)
		return;
	io->piece = (struct iovec){ .iov_base = io->iov->iov_base, .iov_len = store->part_max };
	io->step = &io->piece;
	io->step_count = 1;
}

/* Sets the pieces of the next step. Return: 0; -errno */
static int step_set(struct backend_io *io)
{
	io->staged = must_stage(io);
	if (unlikely(io->staged)) {
		io->step = &io->piece;
		io->step_count = 1;
		return stage_fill(io);
	}
	io->step = io->iov;
	io->step_count = io->iov_count;
	if (unlikely(bytes_left(io) > file_of(io)->store.part_max))
		step_cut(io);
	return 0;
}

static void step_done(struct backend_io *io, int res);

static int step_work(struct pool_job *job, const struct pool_fds *fds)
{
	const struct backend_io *io = container_of(job, struct backend_io, job);

	return (int)store_kern_transfer(is_write(io), fds->fd, io->step,
					MIN(io->step_count, (uint32_t)IOV_MAX),
					file_of(io)->store.offset + io->offset + io->done_bytes);
}

static void step_worked(struct pool_job *job)
{
	struct backend_io *io = container_of(job, struct backend_io, job);

	io->in_pool = false;
	step_done(io, job->result);
}

static void step_came(struct ring_op *op, int res, uint32_t flags);

static void step_submit(struct backend_io *io)
{
	struct io_uring_sqe *sqe = get_sqe(io, step_came);

	prep(sqe, io, io->step, io->step_count, io->done_bytes);
	ring_sqe_done(sqe, &io->ring_op);
}

static void step_came(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	if (unlikely(res == -EAGAIN || res == -EOPNOTSUPP) && !io->cancelled) {
		if (io->iopoll && io->ring->has_iopoll) {
			/* The disk refused to be polled: try again with an interrupt. */
			io->iopoll = false;
			step_submit(io);
			return;
		}
		if (res == -EOPNOTSUPP)
			forbid_nowait(io);
		io_to_pool(io, step_work, step_worked);
		return;
	}
	step_done(io, res);
}

static void step_start(struct backend_io *io)
{
	int err = step_set(io);

	if (unlikely(err))
		io_finish(io, err);
	else if (unlikely(must_wait(io)))
		io_to_pool(io, step_work, step_worked);
	else
		step_submit(io);
}

/* Return: try again, perhaps in another way? */
static bool step_again(struct backend_io *io, int res)
{
	struct file_backend *file = file_of(io);

	if (io->cancelled)
		return false;
	if (res == -EFAULT && file->bounce && file->store.direct && !io->staged) {
		forbid_pinning(file);
		return true;
	}
	return res == -EAGAIN || res == -EINTR;
}

/* Return: bytes in whole blocks; -errno. The file may be growing: a partial block is tried again */
static int whole_blocks(struct backend_io *io, int res)
{
	const struct store *store = &file_of(io)->store;
	int whole = res;

	if (res > 0 && store->direct)
		whole -= whole & (int)(store->length_align - 1);
	if (!whole && (!res || io->torn))
		return -ENODATA; /* the file ends before the disk does: it was truncated */
	io->torn = !whole;
	return whole;
}

static void transfer_rest(struct backend_io *io);

static void step_done(struct backend_io *io, int res)
{
	/* The fast path: one step has transferred everything. */
	if (likely(res > 0 && (uint64_t)res == bytes_left(io) && !io->staged)) {
		io->done_bytes = io->len;
		io_finish_changed(io, 0);
		return;
	}
	if (unlikely(res < 0) && step_again(io, res)) {
		transfer_rest(io);
		return;
	}
	if (res >= 0)
		res = whole_blocks(io, res);
	if (unlikely(io->staged) && res > 0 && !is_write(io)) {
		iov_from_buf(io->iov, io->iov_count, io->piece.iov_base, (size_t)res);
		if (sigbus_pending())
			res = -EFAULT;
	}
	if (res < 0) {
		io_finish(io, res);
		return;
	}
	io->done_bytes += (uint64_t)res;
	if (likely(io->done_bytes == io->len)) {
		io_finish_changed(io, 0);
		return;
	}
	if (io->cancelled) {
		io_finish(io, -ECANCELED);
		return;
	}
	iov_skip(&io->iov, &io->iov_count, (size_t)res);
	transfer_rest(io);
}

/* A batch is done. Where a part failed or was short, the batch is repeated, one step at a time. */
static void batch_done(struct backend_io *io)
{
	bool whole = io->batch_done == io->batch_bytes;

	if (whole)
		io->done_bytes += io->batch_bytes;
	if (io->done_bytes == io->len) {
		io_finish_changed(io, 0);
		return;
	}
	if (io->cancelled) {
		io_finish(io, -ECANCELED);
		return;
	}
	if (whole)
		iov_skip(&io->iov, &io->iov_count, io->batch_bytes);
	io->one_by_one = !whole;
	io->iopoll = io->iopoll && whole; /* the disk may have refused to be polled */
	transfer_rest(io);
}

/* The parts share one ring_op. */
static void part_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	io->batch_done += res > 0 ? (uint64_t)res : 0;
	if (!--io->parts)
		batch_done(io);
}

static void part_start(struct backend_io *io, const struct iovec *iov, uint32_t count,
		       uint64_t bytes)
{
	struct io_uring_sqe *sqe = get_sqe(io, part_done);

	prep(sqe, io, iov, count, io->done_bytes + io->batch_bytes);
	ring_sqe_done(sqe, &io->ring_op);
	io->parts++;
	io->batch_bytes += bytes;
}

static bool batch_takes_more(const struct backend_io *io)
{
	return io->parts < BATCH_PARTS && io->batch_bytes < BATCH_BYTES;
}

/* Parts of one piece. */
static void batch_cut(struct backend_io *io, const struct iovec *piece, size_t size)
{
	struct iovec part = { .iov_base = piece->iov_base };

	for (size_t left = piece->iov_len; left && batch_takes_more(io); left -= part.iov_len) {
		part.iov_len = MIN(left, size);
		part_start(io, &part, 1, part.iov_len);
		part.iov_base = (uint8_t *)part.iov_base + part.iov_len;
	}
}

/* All about the same size, each of whole pieces, or of a piece that alone is too large. */
static void batch_start(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;
	uint64_t count = (bytes_left(io) - 1) / store->part_max + 1;
	uint64_t size = ROUND_UP((bytes_left(io) - 1) / count + 1, (uint64_t)PART_ALIGN);
	uint32_t i = 0;

	io->parts = 0;
	io->batch_bytes = io->batch_done = 0;
	while (i < io->iov_count && batch_takes_more(io)) {
		uint32_t first = i;
		uint64_t bytes = 0;

		while (i < io->iov_count && i - first < store->part_pieces &&
		       bytes + io->iov[i].iov_len <= size)
			bytes += io->iov[i++].iov_len;
		if (bytes)
			part_start(io, &io->iov[first], i - first, bytes);
		else
			batch_cut(io, &io->iov[i++], size);
	}
}

static void transfer_rest(struct backend_io *io)
{
	if (unlikely(bytes_left(io) > file_of(io)->store.part_max) && !io->one_by_one &&
	    !must_stage(io) && !must_wait(io))
		batch_start(io);
	else
		step_start(io);
}

void file_rw_start(struct backend_io *io)
{
	io->one_by_one = io->torn = false;
	transfer_rest(io);
}
