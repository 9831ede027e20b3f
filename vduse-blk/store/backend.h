/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backing store: something that holds the bytes of a disk.
 *
 * A task opens a store, and then all workers use it at the same time. A worker submits an operation
 * on its ring, and gets one completion on the same thread.
 */
#ifndef VDUSE_BLK_BACKEND_H
#define VDUSE_BLK_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "ring.h"

#define BACKEND_STAGING_SIZE 65536u
#define BACKEND_IO_PRIVATE   128u /* bytes of an operation that belong to the store */

/* The properties of an open store, in bytes. Constant. */
struct backend_limits {
	uint64_t size;		/* of the disk, that is of its extent */
	uint32_t logical_block; /* smallest unit of a transfer */
	uint32_t physical_block;
	uint32_t alignment_offset;
	uint32_t io_min;
	uint32_t io_opt;
	uint32_t discard_granularity;
	uint32_t discard_max; /* of one operation; 0: it cannot discard */
	uint32_t zeroes_max;  /* of one operation */
	bool volatile_cache;  /* a flush is needed for durability */
};

enum backend_op {
	BACKEND_READ,
	BACKEND_WRITE,
	BACKEND_FLUSH,
	BACKEND_DISCARD,
	BACKEND_WRITE_ZEROES,
};

/*
 * One operation. The submitter owns it and everything it points at until @done; the store may
 * change @iov in the meantime. The submitter has checked that it lies inside the disk, in whole blocks.
 */
struct backend_io {
	enum backend_op op;
	bool durable;	  /* not for a read: complete it only when it survives a power cut */
	bool unmap;	  /* zeroes: the store may free the space */
	bool cancelled;	  /* out: backend_cancel() was called. Threads of the store may read it */
	bool sync_failed; /* out: a sync failed, so earlier writes may be lost too */
	uint64_t offset;
	uint64_t len;
	struct iovec *iov; /* read, write: at least one piece, together @len bytes */
	uint32_t iov_count;
	const struct ring_buffer *buffer; /* of the ring; the pieces may lie in it. NULL: none */
	uint64_t done_bytes; /* out: if a read or write fails, the bytes transferred before */

	/*
	 * Returns the staging buffer of @io, BACKEND_STAGING_SIZE bytes, for memory that O_DIRECT refuses.
	 * Called on the worker; a system call the first time. NULL: there is no memory
	 */
	void *(*get_staging)(struct backend_io *io);

	/* On the worker; 0 or -errno. May submit @io again. */
	void (*done)(struct backend_io *io, int err);

	struct backend *backend; /* set by backend_submit() */
	struct ring *ring;	 /* of the worker; set by backend_submit() */

	/*
	 * For the store, from @submit to @done: a struct of that store, which asserts its size. An array
	 * of characters, so that the compiler expects accesses as any type.
	 */
	_Alignas(uint64_t) unsigned char private[BACKEND_IO_PRIVATE];
};

struct backend_ops {
	/** @submit: begin @io; the ring's next round submits the SQE. Reports errors by @io->done only */
	void (*submit)(struct backend *backend, struct ring *ring, struct backend_io *io);

	/**
	 * @cancel: end @io early, if possible; @io->done is called later in any case
	 *
	 * @io->cancelled is set. NULL: all operations end in @submit.
	 * -ECANCELED or -EINTR: part of it may have had an effect.
	 */
	void (*cancel)(struct backend *backend, struct backend_io *io);

	/** @descriptors: as backend_descriptors(). NULL: the store has no descriptors */
	unsigned int (*descriptors)(struct backend *backend, int **fds, unsigned int max);

	/** @moved: as backend_moved(). NULL: nothing to do */
	void (*moved)(struct backend *backend);

	/** @close: nothing is in flight any more. Frees @backend */
	void (*close)(struct backend *backend);
};

#define BACKEND_IDENTITY_MAX 96

struct backend {
	const struct backend_ops *ops;
	struct backend_limits limits;
	bool cached; /* completed writes may be in this host's page cache only */
	/*
	 * Text that names the file, block device or other container of the bytes. Two stores with equal
	 * texts may share bytes. "": the store keeps no bytes
	 */
	char identity[BACKEND_IDENTITY_MAX];
	uint64_t offset; /* of the disk's first byte in that container */

	/*
	 * A sync has failed: any completed write may be lost. Called before the completion of each
	 * operation that should have made such a write durable. Called on any thread, on several at the
	 * same time; must not block. The user of the store sets it while nothing is in flight. NULL: not
	 * called
	 */
	void (*lost)(void *owner);
	void *owner;
};

static inline void backend_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	io->backend = backend;
	io->ring = ring;
	io->done_bytes = 0;
	io->cancelled = io->sync_failed = false;
	backend->ops->submit(backend, ring, io);
}

static inline void *backend_get_staging(struct backend_io *io)
{
	return io->get_staging ? io->get_staging(io) : NULL;
}

/** backend_lost() - for stores: call @lost */
static inline void backend_lost(struct backend *backend)
{
	if (backend->lost)
		backend->lost(backend->owner);
}

static inline void backend_cancel(struct backend_io *io)
{
	store_relaxed(&io->cancelled, true);
	io->backend->ops->cancel(io->backend, io);
}

/**
 * backend_descriptors() - the addresses of the descriptors of an open store
 * @fds: out, @max of them at most
 *
 * A task that opens a store sends them to the process (task_give()). Return: their number
 */
static inline unsigned int backend_descriptors(struct backend *backend, int **fds, unsigned int max)
{
	return backend->ops->descriptors ? backend->ops->descriptors(backend, fds, max) : 0;
}

/** backend_moved() - the descriptors are now numbers of the process's table */
static inline void backend_moved(struct backend *backend)
{
	if (backend->ops->moved)
		backend->ops->moved(backend);
}

static inline void backend_close(struct backend *backend)
{
	backend->ops->close(backend);
}

#endif
