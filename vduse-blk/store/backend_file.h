/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the parts of the file backend. The functions are called on workers. */
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
	bool iopoll;		  /* iopoll = yes: poll the disk for completions */
	bool bounce; /* data is in the kernel's bounce pages, which may be unpinnable */

	/*
	 * Operations that the store has refused as not supported. Set by any thread, read by all: a
	 * stale value costs one more try.
	 */
	bool no_punch;
	bool no_zero_range;
	bool no_discard;
	bool no_pin;	   /* the driver's memory cannot be pinned, as O_DIRECT needs */
	bool no_nowait[2]; /* reads, writes: the file refuses RWF_NOWAIT */
};

static inline struct file_backend *file_of(const struct backend_io *io)
{
	return container_of(io->backend, struct file_backend, base);
}

static inline void io_finish(struct backend_io *io, int err)
{
	io->done(io, err);
}

/** io_to_pool() - submit @work to the threads of the store; NULL: a sync */
void io_to_pool(struct backend_io *io,
		int (*work)(struct pool_job *job, const struct pool_fds *fds),
		void (*done)(struct pool_job *job));

/** io_finish_changed() - finish a change of the store, after a sync where @io->durable */
void io_finish_changed(struct backend_io *io, int err);

/** file_rw_start() - read or write all of @io, in as many steps as it takes; then io_finish() */
void file_rw_start(struct backend_io *io);

#endif
