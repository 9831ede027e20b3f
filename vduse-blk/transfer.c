// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads and writes of the file backend.
 *
 * One that came back short continues where it stopped. One that is larger than what a disk takes at
 * a time is cut into parts that are under way together: the block layer does not cut a request that
 * must not wait (REQ_NOWAIT, block/blk-merge.c), and io_uring would give it to a thread.
 *
 * Direct I/O pins the memory it goes to, and nobody can pin the kernel's bounce memory since Linux
 * 6.12.118 (VM_IO in vduse_domain_mmap()). From the first EFAULT on, transfers of such a disk are
 * copied through a stage of ours, one stage after the other.
 */
#include <limits.h>

#include "backend_file.h"
#include "iov.h"
#include "log.h"

/* Where a large transfer is cut: any disk's page, so that the rest stays aligned. */
#define PART_ALIGN 4096u

/* The cheapest operation that does it. */
static void prep(struct io_uring_sqe *sqe, int fd, const struct backend_io *io,
		 const struct iovec *iov, uint32_t count, uint64_t at)
{
	unsigned int len = (unsigned int)MIN(iov->iov_len, (size_t)INT_MAX);
	bool write = io->op == BACKEND_WRITE;

	if (count > 1) {
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, fd, iov,
				 MIN(count, (uint32_t)IOV_MAX), at);
	} else if (io->buffer && ring_buffer_has(io->buffer, iov->iov_base, iov->iov_len)) {
		io_uring_prep_rw(write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED, sqe, fd,
				 iov->iov_base, len, at);
		sqe->buf_index = io->buffer->index;
	} else {
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, fd, iov->iov_base,
				 len, at);
	}
	if (write && io->durable)
		sqe->rw_flags = RWF_DSYNC;
}

/* O_DIRECT where the memory suits it; the page cache takes any. */
static int transfer_fd(const struct store *store, const struct backend_io *io)
{
	if (!store->direct)
		return store->fd;
	return iov_is_aligned(io->iov, io->iov_count, store->memory_align - 1,
			      store->length_align - 1)
		       ? store->fd
		       : store->buffered_fd;
}

/* A write that must be durable may need a flush in the middle, which nobody would poll for. */
static bool may_iopoll(struct backend_io *io, int fd)
{
	return io->ring->has_iopoll && !io->durable && fd == file_of(io)->store.fd;
}

static struct io_uring_sqe *transfer_step(struct backend_io *io, int fd,
					  void (*done)(struct ring_op *op, int res, uint32_t flags))
{
	if (likely(!io->iopoll) || !may_iopoll(io, fd))
		return io_step(io, done);
	io->ring_op.done = done;
	return ring_iopoll_sqe(io->ring);
}

static void forbid_pinning(struct file_backend *file)
{
	if (!load_relaxed(&file->no_pin))
		log_info(
			"%s: this kernel's bounce memory cannot be pinned: data are copied once more (umem = on avoids that)",
			file->name);
	store_relaxed(&file->no_pin, true);
}

/*
 * Worth another try? What the disk could not be polled for, it may do with an interrupt; and memory
 * that cannot be pinned can be copied.
 */
static bool transfer_again(struct backend_io *io, int res)
{
	bool refused = io->iopoll && (res == -EAGAIN || res == -EOPNOTSUPP);
	bool no_pin = res == -EFAULT && file_of(io)->store.direct && !io->staged &&
		      backend_stage(io);

	if (refused)
		io->iopoll = false;
	if (no_pin)
		forbid_pinning(file_of(io));
	return again(io, res) || ((refused || no_pin) && !io->cancelled);
}

static void transfer_rest(struct backend_io *io);

/* Return: the stage, where it must be used; else NULL. The rest of a torn block is not for O_DIRECT */
static void *stage_of(struct backend_io *io)
{
	const struct file_backend *file = file_of(io);

	if (likely(!load_relaxed(&file->no_pin)))
		return NULL;
	if ((io->offset + io->done_bytes) & (file->store.length_align - 1))
		return NULL;
	return backend_stage(io);
}

/* What is on the stage next. */
static struct iovec stage_fill(struct backend_io *io)
{
	uint64_t max = MIN(file_of(io)->store.part_max, (uint64_t)BACKEND_STAGE);
	struct iovec piece = {
		.iov_base = io->staged,
		.iov_len = MIN(io->len - io->done_bytes, max),
	};

	if (io->op == BACKEND_WRITE)
		iov_to_buf(io->iov, io->iov_count, io->staged, piece.iov_len);
	return piece;
}

static void transfer_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	if (unlikely(res < 0) && transfer_again(io, res)) {
		transfer_rest(io);
		return;
	}
	if (unlikely(io->staged) && res > 0 && io->op == BACKEND_READ)
		iov_from_buf(io->iov, io->iov_count, io->staged, (size_t)res);
	if (res == 0)
		res = -ENODATA; /* the file ends before the disk does: it was truncated */
	if (res < 0) {
		io_finish(io, res);
		return;
	}
	io->done_bytes += (uint64_t)res;
	if (io->done_bytes < io->len && io->cancelled) {
		io_finish(io, -ECANCELED);
	} else if (io->done_bytes < io->len) {
		iov_skip(&io->iov, &io->iov_count, (size_t)res);
		transfer_rest(io);
	} else {
		io_finish(io, 0);
	}
}

static void transfer_rest(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;
	uint64_t at = store->offset + io->offset + io->done_bytes;
	struct io_uring_sqe *sqe;
	struct iovec piece;
	int fd;

	io->staged = stage_of(io);
	fd = io->staged ? store->fd : transfer_fd(store, io);
	sqe = transfer_step(io, fd, transfer_done);
	if (io->op == BACKEND_WRITE && fd == store->buffered_fd)
		store_relaxed(&io->backend->cached, true);
	if (unlikely(io->staged)) {
		piece = stage_fill(io);
		prep(sqe, fd, io, &piece, 1, at);
	} else {
		prep(sqe, fd, io, io->iov, io->iov_count, at);
	}
	ring_sqe_done(sqe, &io->ring_op);
}

/*
 * The parts share one ring_op. Where one failed or was short, all is done again as a whole, and in
 * the first io_uring: the disk may have refused to be polled.
 */
static void part_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	io->done_bytes += res > 0 ? (uint64_t)res : 0;
	if (--io->parts)
		return;
	if (io->done_bytes == io->len) {
		io_finish(io, 0);
	} else if (io->cancelled) {
		io_finish(io, -ECANCELED);
	} else {
		io->done_bytes = 0;
		io->iopoll = false;
		transfer_rest(io);
	}
}

static void part_start(struct backend_io *io, const struct iovec *iov, uint32_t count, uint64_t at)
{
	const struct store *store = &file_of(io)->store;
	struct io_uring_sqe *sqe = transfer_step(io, store->fd, part_done);

	io->parts++;
	prep(sqe, store->fd, io, iov, count, store->offset + io->offset + at);
	ring_sqe_done(sqe, &io->ring_op);
}

static void parts_of_piece(struct backend_io *io, const struct iovec *piece, size_t size,
			   uint64_t at)
{
	struct iovec part = { .iov_base = piece->iov_base };

	for (size_t left = piece->iov_len; left; left -= part.iov_len) {
		part.iov_len = MIN(left, size);
		part_start(io, &part, 1, at);
		part.iov_base = (uint8_t *)part.iov_base + part.iov_len;
		at += part.iov_len;
	}
}

/* All about the same size, each of whole pieces, or of a piece that alone is too large. */
static void parts_start(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;
	uint64_t count = (io->len - 1) / store->part_max + 1;
	uint64_t size = ROUND_UP((io->len - 1) / count + 1, (uint64_t)PART_ALIGN);
	uint64_t at = 0, run = 0;
	uint32_t first = 0;

	for (uint32_t i = 0; i < io->iov_count; i++) {
		const struct iovec *piece = &io->iov[i];

		if (run && (run + piece->iov_len > size || i - first == store->part_pieces)) {
			part_start(io, &io->iov[first], i - first, at);
			at += run;
			run = 0;
		}
		if (piece->iov_len > size) {
			parts_of_piece(io, piece, size, at);
			at += piece->iov_len;
			continue;
		}
		if (!run)
			first = i;
		run += piece->iov_len;
	}
	if (run)
		part_start(io, &io->iov[first], io->iov_count - first, at);
}

void transfer_start(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;

	if (unlikely(io->len > store->part_max) && !io->durable && !stage_of(io) &&
	    transfer_fd(store, io) == store->fd)
		parts_start(io);
	else
		transfer_rest(io);
}
