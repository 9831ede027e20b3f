/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the parts of the file store. The functions are called on workers. */
#ifndef VDUSE_BLK_FILE_STORE_H
#define VDUSE_BLK_FILE_STORE_H

#include "backend.h"
#include "host_file.h"
#include "store_pool.h"

struct file_store {
	struct backend base;
	struct host_file file;
	struct store_pool *pool;
	struct store_holder *holder; /* of a slow store: has the descriptors. NULL: the process */
	struct pool_fds pool_fds;    /* of @file, in the table of the holder or the process */
	bool keep_space;	     /* discard = no: never free space */
	bool iopoll;		     /* iopoll = yes: poll the disk for completions */
	bool bounce; /* data is in the kernel's bounce buffer, which may not allow pinning */

	/*
	 * Operations that the store has refused as not supported. Set by any thread, read by all: a
	 * stale value costs one more attempt.
	 */
	bool no_punch;
	bool no_zero_range;
	bool no_discard;
	bool no_pin;	   /* the driver's memory cannot be pinned, as O_DIRECT needs */
	bool no_nowait[2]; /* reads, writes: the file refuses RWF_NOWAIT */
};

/* The private part of an operation. */
struct file_io {
	struct ring_op ring_op;
	struct pool_job job;
	const struct iovec *step; /* the pieces of the step under way: in @iov, or @piece */
	uint32_t step_count;
	uint32_t parts; /* the number of parts under way; they share @ring_op */
	struct iovec piece;
	uint64_t batch_bytes, batch_done;
	bool one_by_one; /* submit one part at a time, since a part of a batch failed */
	bool iopoll;	 /* poll for the completion; false after the disk refused that */
	bool staged;	 /* the step uses the staging buffer */
	bool torn;	 /* the last step transferred less than a block */
	bool in_pool;	 /* @job is under way */
};

_Static_assert(sizeof(struct file_io) <= BACKEND_IO_PRIVATE, "BACKEND_IO_PRIVATE");

static inline struct file_io *file_io(const struct backend_io *io)
{
	return (struct file_io *)io->private;
}

static inline struct backend_io *io_of_file(struct file_io *own)
{
	return container_of((unsigned char(*)[BACKEND_IO_PRIVATE])own, struct backend_io, private);
}

static inline struct backend_io *io_of_job(struct pool_job *job)
{
	return io_of_file(container_of(job, struct file_io, job));
}

static inline struct backend_io *io_of_ring_op(struct ring_op *op)
{
	return io_of_file(container_of(op, struct file_io, ring_op));
}

static inline struct file_store *store_of(const struct backend_io *io)
{
	return container_of(io->backend, struct file_store, base);
}

static inline uint64_t io_bytes_left(const struct backend_io *io)
{
	return io->len - io->done_bytes;
}

static inline void io_finish(struct backend_io *io, int err)
{
	io->done(io, err);
}

/** io_to_pool() - submit @work to the threads of the store; NULL: a sync */
void io_to_pool(struct backend_io *io,
		int (*work)(struct pool_job *job, const struct pool_fds *fds),
		void (*done)(struct pool_job *job));

/** io_finish_changed() - finish an operation that changed the store; if @io->durable, sync first */
void io_finish_changed(struct backend_io *io, int err);

/** file_rw_start() - read or write all of @io, in one step or several; then io_finish() */
void file_rw_start(struct backend_io *io);

/** file_rw_rest() - read or write what is left, from @io->done_bytes on; @io->iov begins there */
void file_rw_rest(struct backend_io *io);

/**
 * file_rw_submit() - submit one operation to the ring, with RWF_NOWAIT
 * @at: bytes from the beginning of @io
 */
void file_rw_submit(struct backend_io *io, const struct iovec *iov, uint32_t count, uint64_t at,
		    void (*done)(struct ring_op *op, int res, uint32_t flags));

/** file_batch_start() - submit the next batch of parts; after it file_rw_rest() */
void file_batch_start(struct backend_io *io);

#endif
