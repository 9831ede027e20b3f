// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files and block devices through io_uring.
 *
 * An operation goes through one or more steps, each one SQE: one that the store cannot do falls to
 * the next best, and a durable one that has no flag for it ends with a sync. Reads and writes are in
 * transfer.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "backend_file.h"

#ifndef BLOCK_URING_CMD_DISCARD /* Linux 6.12, linux/blkdev.h */
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#define ZERO_CHUNK 65536u /* bytes of zeroes in memory, for stores that cannot make them */

static const uint8_t zeroes[ZERO_CHUNK] __attribute__((aligned(4096)));

static void sync_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	io->sync_failed = res < 0 && res != -ECANCELED && res != -EINTR;
	io_finish(io, res);
}

static void sync_start(struct backend_io *io)
{
	struct io_uring_sqe *sqe = io_step(io, sync_done);

	io_uring_prep_fsync(sqe, file_of(io)->store.fd, IORING_FSYNC_DATASYNC);
	ring_sqe_done(sqe, &io->ring_op);
}

/* The end of a step that changed the store without making it durable. */
static void io_finish_changed(struct backend_io *io, int err)
{
	if (err || !io->durable)
		io_finish(io, err);
	else if (io->cancelled)
		io_finish(io, -ECANCELED);
	else
		sync_start(io);
}

static void zero_write_start(struct backend_io *io);

static void zero_write_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	if (res == 0)
		res = -ENODATA;
	if (res < 0 && !again(io, res)) {
		io_finish(io, res);
		return;
	}
	io->done_bytes += res > 0 ? (uint64_t)res : 0;
	if (io->done_bytes < io->len && io->cancelled)
		io_finish(io, -ECANCELED);
	else if (io->done_bytes < io->len)
		zero_write_start(io);
	else
		io_finish_changed(io, 0);
}

/* The last resort: real zeroes, from memory that is the same for everybody. */
static void zero_write_start(struct backend_io *io)
{
	const struct store *store = &file_of(io)->store;
	uint64_t left = io->len - io->done_bytes;
	struct io_uring_sqe *sqe = io_step(io, zero_write_done);
	/* A write that came back short may have stopped where O_DIRECT cannot go on. */
	bool torn = store->direct && (io->done_bytes & (store->length_align - 1));

	io_uring_prep_write(sqe, torn ? store->buffered_fd : store->fd, zeroes,
			    (unsigned int)MIN(left, ZERO_CHUNK),
			    store->offset + io->offset + io->done_bytes);
	ring_sqe_done(sqe, &io->ring_op);
}

static void fallocate_start(struct backend_io *io, int mode,
			    void (*done)(struct ring_op *op, int res, uint32_t flags))
{
	const struct store *store = &file_of(io)->store;
	struct io_uring_sqe *sqe = io_step(io, done);

	io_uring_prep_fallocate(sqe, store->fd, mode | FALLOC_FL_KEEP_SIZE,
				(off_t)(store->offset + io->offset), (off_t)io->len);
	ring_sqe_done(sqe, &io->ring_op);
}

static bool not_supported(int res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV || res == -ENOTTY;
}

static void zeroes_start(struct backend_io *io);

static void zero_range_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	if (not_supported(res)) {
		store_relaxed(&file_of(io)->no_zero_range, true);
		zeroes_start(io);
		return;
	}
	io_finish_changed(io, res);
}

static void zero_punch_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);

	(void)flags;
	if (not_supported(res)) {
		store_relaxed(&file_of(io)->no_punch, true);
		zeroes_start(io);
		return;
	}
	io_finish_changed(io, res);
}

/*
 * Holes read as zeroes and take no space, so an image file gets holes even where the driver did not
 * ask for them (virtio 1.3, 5.2.6.2 forbids nothing here, and Linux never asks for BLKZEROOUT). A
 * block device gets what the driver said.
 */
static void zeroes_start(struct backend_io *io)
{
	struct file_backend *file = file_of(io);
	bool give_back = !file->keep_space && (io->unmap || !file->store.block_device);

	if (give_back && !load_relaxed(&file->no_punch))
		fallocate_start(io, FALLOC_FL_PUNCH_HOLE, zero_punch_done);
	else if (!load_relaxed(&file->no_zero_range))
		fallocate_start(io, FALLOC_FL_ZERO_RANGE, zero_range_done);
	else
		zero_write_start(io);
}

static void discard_start(struct backend_io *io);

static void discard_done(struct ring_op *op, int res, uint32_t flags)
{
	struct backend_io *io = container_of(op, struct backend_io, ring_op);
	struct file_backend *file = file_of(io);

	(void)flags;
	if (!not_supported(res)) {
		io_finish_changed(io, res);
		return;
	}
	if (file->store.block_device && !load_relaxed(&file->no_uring_discard))
		store_relaxed(&file->no_uring_discard, true);
	else
		store_relaxed(&file->no_punch, true);
	discard_start(io);
}

/* A discard is advice: where nothing can be given back it succeeds without an effect. */
static void discard_start(struct backend_io *io)
{
	struct file_backend *file = file_of(io);
	struct io_uring_sqe *sqe;

	if (file->store.block_device && !load_relaxed(&file->no_uring_discard)) {
		sqe = io_step(io, discard_done);
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = file->store.fd;
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = file->store.offset + io->offset;
		sqe->addr3 = io->len;
		ring_sqe_done(sqe, &io->ring_op);
	} else if (!load_relaxed(&file->no_punch)) {
		fallocate_start(io, FALLOC_FL_PUNCH_HOLE, discard_done);
	} else {
		io_finish(io, 0);
	}
}

static void file_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	(void)backend;
	(void)ring;
	io->done_bytes = 0;
	io->iopoll = file_of(io)->iopoll;
	io->cancelled = false;
	io->sync_failed = false;
	if (file_of(io)->store.cache == CACHE_UNSAFE)
		io->durable = false;
	switch (io->op) {
	case BACKEND_READ:
	case BACKEND_WRITE:
		transfer_start(io);
		break;
	case BACKEND_FLUSH:
		if (file_of(io)->store.cache == CACHE_UNSAFE)
			io_finish(io, 0);
		else
			sync_start(io);
		break;
	case BACKEND_DISCARD:
		discard_start(io);
		break;
	case BACKEND_WRITE_ZEROES:
		zeroes_start(io);
		break;
	}
}

/* What is in the ring's second io_uring cannot be ended, and is not found. */
static void file_cancel(struct backend *backend, struct backend_io *io)
{
	(void)backend;
	io->cancelled = true;
	ring_cancel(io->ring, &io->ring_op);
}

static unsigned int file_descriptors(struct backend *backend, int **fds, unsigned int max)
{
	struct file_backend *file = container_of(backend, struct file_backend, base);

	return store_descriptors(&file->store, fds, max);
}

static void file_moved(struct backend *backend)
{
	store_moved(&container_of(backend, struct file_backend, base)->store);
}

static void file_close(struct backend *backend)
{
	struct file_backend *file = container_of(backend, struct file_backend, base);

	store_close(&file->store);
	free(file);
}

static const struct backend_ops file_ops = {
	.submit = file_submit,
	.cancel = file_cancel,
	.descriptors = file_descriptors,
	.moved = file_moved,
	.close = file_close,
};

int backend_file_open(const struct device_config *config, unsigned int wait_ms,
		      struct backend **out)
{
	struct file_backend *file;
	int err;

	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	err = store_open(config, wait_ms, &file->store);
	if (err) {
		free(file);
		return err;
	}
	file->base.ops = &file_ops;
	file->base.limits = file->store.limits;
	file->base.offset = file->store.offset;
	memcpy(file->base.identity, file->store.identity, sizeof(file->base.identity));
	file->base.cached = !file->store.direct;
	file->name = config->name;
	file->keep_space = config->discard == SWITCH_NO;
	file->iopoll = config->iopoll;
	*out = &file->base;
	return 0;
}
