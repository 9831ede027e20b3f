/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the file backend share. Everything here runs on a worker. */
#ifndef VDUSE_BLK_BACKEND_FILE_H
#define VDUSE_BLK_BACKEND_FILE_H

#include <errno.h>

#include "backend.h"
#include "store.h"

struct file_backend {
	struct backend base;
	struct store store;
	const char *name; /* of the device */
	bool keep_space;  /* discard = no: never give space back */
	bool iopoll;	  /* the disk can be polled for completions, and shall be */

	/*
	 * "Not supported", remembered. Set by any worker, read by all: a stale read costs one more
	 * try, nothing else.
	 */
	bool no_punch;
	bool no_zero_range;
	bool no_uring_discard;
	bool no_pin; /* the kernel's, of the driver's memory: O_DIRECT cannot get there */
};

static inline struct file_backend *file_of(const struct backend_io *io)
{
	return container_of(io->backend, struct file_backend, base);
}

static inline void io_finish(struct backend_io *io, int err)
{
	io->done(io, err);
}

/* Worth another try? */
static inline bool again(const struct backend_io *io, int res)
{
	return (res == -EAGAIN || res == -EINTR) && !io->cancelled;
}

static inline struct io_uring_sqe *
io_step(struct backend_io *io, void (*done)(struct ring_op *op, int res, uint32_t flags))
{
	io->ring_op.done = done;
	return ring_sqe(io->ring);
}

/** transfer_start() - read or write all of @io, which may be short at first; then io_finish() */
void transfer_start(struct backend_io *io);

#endif
