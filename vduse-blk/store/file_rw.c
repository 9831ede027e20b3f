// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads and writes of the file store, in steps.
 *
 * A step is one operation. The worker first submits it to its ring with RWF_NOWAIT: without that
 * flag io_uring would pass a step that has to wait to one of a few threads that all disks of the
 * worker share. A step that would have to wait ends with EAGAIN, and a thread of the store does it.
 * After a short step another one follows.
 *
 * A transfer that is larger than one operation of the disk is cut into parts (file_batch.c).
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

#include "file_store.h"
#include "iov.h"
#include "log.h"
#include "sigbus.h"
#include "store_kern.h"

static bool is_write(const struct backend_io *io)
{
	return io->op == BACKEND_WRITE;
}

/* Chooses the cheapest opcode. */
static void prep(struct io_uring_sqe *sqe, const struct backend_io *io, const struct iovec *iov,
		 uint32_t count, uint64_t at)
{
	const struct host_file *file = &store_of(io)->file;
	unsigned int len = (unsigned int)iov->iov_len; /* of a part */
	bool write = is_write(io);

	at += file->offset + io->offset;
	if (count > 1) {
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, file->fd, iov,
				 MIN(count, (uint32_t)IOV_MAX), at);
	} else if (io->buffer && ring_buffer_has(io->buffer, iov->iov_base, iov->iov_len)) {
		io_uring_prep_rw(write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED, sqe,
				 file->fd, iov->iov_base, len, at);
		sqe->buf_index = io->buffer->index;
	} else {
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, file->fd,
				 iov->iov_base, len, at);
	}
	sqe->rw_flags = RWF_NOWAIT;
}

void file_rw_submit(struct backend_io *io, const struct iovec *iov, uint32_t count, uint64_t at,
		    void (*done)(struct ring_op *op, int res, uint32_t flags))
{
	struct file_io *own = file_io(io);
	struct io_uring_sqe *sqe;

	own->ring_op.done = done;
	if (unlikely(own->iopoll) && io->ring->has_iopoll)
		sqe = ring_iopoll_sqe(io->ring);
	else
		sqe = ring_sqe(io->ring);
	prep(sqe, io, iov, count, at);
	ring_sqe_done(sqe, &own->ring_op);
}

static bool needs_staging(const struct backend_io *io)
{
	const struct file_store *store = store_of(io);
	const struct host_file *file = &store->file;

	if (!file->direct)
		return false;
	return unlikely(load_relaxed(&store->no_pin)) ||
	       !iov_is_aligned(io->iov, io->iov_count, file->memory_align - 1,
			       file->length_align - 1);
}

/*
 * Return: should a thread of the store do the step without an attempt on the ring? Yes if the store
 * refuses RWF_NOWAIT. Yes if all threads of the store are busy: then the file system may stall, and it
 * may wait for metadata in spite of RWF_NOWAIT.
 */
static bool must_wait(const struct backend_io *io)
{
	const struct file_store *store = store_of(io);

	return load_relaxed(&store->no_nowait[is_write(io)]) ||
	       (!store->file.block_device && store_pool_is_behind(store->pool));
}

/* For dm-crypt, thin volumes, NFS, FUSE and others: threads do all reads or writes. */
static void forbid_nowait(struct backend_io *io)
{
	struct file_store *store = store_of(io);

	store_relaxed(&store->no_nowait[is_write(io)], true);
	store_pool_widen(store->pool);
}

static void forbid_pinning(struct file_store *store)
{
	if (!load_relaxed(&store->no_pin))
		log_info("%s: the kernel's bounce buffer cannot be pinned: all data is copied once "
			 "more; umem = on avoids that",
			 store_pool_name(store->pool));
	store_relaxed(&store->no_pin, true);
}

/* Sets the piece of the step to the staging buffer, and fills it for a write. Return: 0; -ENOMEM; -EFAULT */
static int staging_fill(struct backend_io *io)
{
	struct file_io *own = file_io(io);
	uint64_t max = MIN(store_of(io)->file.part_max, (uint64_t)BACKEND_STAGING_SIZE);
	void *staging = backend_get_staging(io);

	if (!staging)
		return -ENOMEM;
	own->piece = (struct iovec){ .iov_base = staging, .iov_len = MIN(io_bytes_left(io), max) };
	if (is_write(io))
		iov_to_buf(io->iov, io->iov_count, staging, own->piece.iov_len);
	/* A lost page reads as zeroes, which must not be written. The queue stops at its next check. */
	return iov_is_lost(io->iov, io->iov_count, own->piece.iov_len) ? -EFAULT : 0;
}

/* Limits the step to the size of a part: several pieces, or the beginning of one that is too large. */
static void step_cut(struct backend_io *io)
{
	struct file_io *own = file_io(io);
	const struct host_file *file = &store_of(io)->file;
	uint64_t bytes = 0;

	own->step_count = 0;
	while (own->step_count < io->iov_count && own->step_count < file->part_pieces &&
	       bytes + io->iov[own->step_count].iov_len <= file->part_max)
		bytes += io->iov[own->step_count++].iov_len;
	if (own->step_count)
		return;
	own->piece = (struct iovec){ .iov_base = io->iov->iov_base, .iov_len = file->part_max };
	own->step = &own->piece;
	own->step_count = 1;
}

/* Sets the pieces of the next step. Return: 0; -errno */
static int step_set(struct backend_io *io)
{
	struct file_io *own = file_io(io);

	own->staged = needs_staging(io);
	if (unlikely(own->staged)) {
		own->step = &own->piece;
		own->step_count = 1;
		return staging_fill(io);
	}
	own->step = io->iov;
	own->step_count = io->iov_count;
	if (unlikely(io_bytes_left(io) > store_of(io)->file.part_max))
		step_cut(io);
	return 0;
}

static void step_done(struct backend_io *io, int res);

static int step_work(struct pool_job *job, const struct pool_fds *fds)
{
	const struct backend_io *io = io_of_job(job);

	return (int)store_kern_transfer(is_write(io), fds->fd, file_io(io)->step,
					MIN(file_io(io)->step_count, (uint32_t)IOV_MAX),
					store_of(io)->file.offset + io->offset + io->done_bytes);
}

static void step_worked(struct pool_job *job)
{
	struct backend_io *io = io_of_job(job);

	file_io(io)->in_pool = false;
	step_done(io, job->result);
}

static void step_came(struct ring_op *op, int res, uint32_t flags);

static void step_submit(struct backend_io *io)
{
	const struct file_io *own = file_io(io);

	file_rw_submit(io, own->step, own->step_count, io->done_bytes, step_came);
}

static void step_came(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = io_of_ring_op(op);

	(void)flags;
	if (unlikely(res == -EAGAIN || res == -EOPNOTSUPP) && !io->cancelled) {
		if (file_io(io)->iopoll && io->ring->has_iopoll) {
			/* The disk refuses polling: try again with an interrupt. */
			file_io(io)->iopoll = false;
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

/* Return: should the step be repeated, perhaps in another way? */
static bool step_again(struct backend_io *io, int res)
{
	struct file_store *store = store_of(io);

	if (io->cancelled)
		return false;
	if (res == -EFAULT && store->bounce && store->file.direct && !file_io(io)->staged) {
		forbid_pinning(store);
		return true;
	}
	return res == -EAGAIN || res == -EINTR;
}

/* Return: bytes in whole blocks; -errno. Repeats a partial block once, since the file may be growing */
static int whole_blocks(struct backend_io *io, int res)
{
	const struct host_file *file = &store_of(io)->file;
	int whole = res;

	if (res > 0 && file->direct)
		whole -= whole & (int)(file->length_align - 1);
	if (!whole && (!res || file_io(io)->torn))
		return -ENODATA; /* the file ends before the disk does: it was truncated */
	file_io(io)->torn = !whole;
	return whole;
}

static void step_done(struct backend_io *io, int res)
{
	struct file_io *own = file_io(io);

	/* The fast path: one step has transferred everything. */
	if (likely(res > 0 && (uint64_t)res == io_bytes_left(io) && !own->staged)) {
		io->done_bytes = io->len;
		io_finish_changed(io, 0);
		return;
	}
	if (unlikely(res < 0) && step_again(io, res)) {
		file_rw_rest(io);
		return;
	}
	if (res >= 0)
		res = whole_blocks(io, res);
	if (unlikely(own->staged) && res > 0 && !is_write(io)) {
		iov_from_buf(io->iov, io->iov_count, own->piece.iov_base, (size_t)res);
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
	file_rw_rest(io);
}

void file_rw_rest(struct backend_io *io)
{
	if (unlikely(io_bytes_left(io) > store_of(io)->file.part_max) && !file_io(io)->one_by_one &&
	    !needs_staging(io) && !must_wait(io))
		file_batch_start(io);
	else
		step_start(io);
}

void file_rw_start(struct backend_io *io)
{
	file_io(io)->one_by_one = file_io(io)->torn = false;
	file_rw_rest(io);
}
