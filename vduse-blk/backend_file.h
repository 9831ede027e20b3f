/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the file backend share. Everything here runs on a worker. */
#ifndef VDUSE_BLK_BACKEND_FILE_H
#define VDUSE_BLK_BACKEND_FILE_H

#include "backend.h"
#include "store.h"
#include "store_pool.h"

struct file_backend {
	struct backend base;
	struct store store;
	struct store_pool *pool;
	struct pool_fds pool_fds; /* of @store, in the process's table */
	const char *name;	  /* of the device */
	bool keep_space;	  /* discard = no: never give space back */
	bool iopoll;		  /* the disk can be polled for completions, and shall be */
	bool bounce; /* the driver's memory is the kernel's, which may be impossible to pin */

	/*
	 * "Not supported", remembered. Set by any thread, read by all: a stale read costs one more
	 * try, nothing else.
	 */
	bool no_punch;
	bool no_zero_range;
	bool no_discard;
	bool no_pin;	   /* of the driver's memory: O_DIRECT cannot get there */
	bool no_nowait[2]; /* of reads, of writes: the file cannot say that one would wait */
};

static inline struct file_backend *file_of(const struct backend_io *io)
{
	return container_of(io->backend, struct file_backend, base);
}

static inline void io_finish(struct backend_io *io, int err)
{
	io->done(io, err);
}

/** io_to_pool() - have @work done by the threads of the store; NULL: a sync */
void io_to_pool(struct backend_io *io,
		int (*work)(struct pool_job *job, const struct pool_fds *fds),
		void (*done)(struct pool_job *job));

/** io_finish_changed() - the end of what changed the store: where it must be durable, after a sync */
void io_finish_changed(struct backend_io *io, int err);

/** transfer_start() - read or write all of @io, which may be short at first; then io_finish() */
void transfer_start(struct backend_io *io);

#endif
