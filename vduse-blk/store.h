/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file or block device as a backing store: what it is, what it can do, who else has it. */
#ifndef VDUSE_BLK_STORE_H
#define VDUSE_BLK_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "compiler.h"
#include "config.h"

struct claim;

#define STORE_SYNCS 4

/* An opened store. fds are -1 where there is none. */
struct store {
	int fd;		     /* of every request but syncs; O_DIRECT where @direct */
	struct claim *claim; /* of a block device that is written; shared with its other slices */
	/*
	 * For syncs, opened before any write: each hears of every lost write, once, whatever the
	 * others were told. A sync that fails is to be remembered by who asked for it.
	 */
	int sync_fds[STORE_SYNCS];
	unsigned int sync_count; /* so many of them; fewer where nothing is written */
	bool direct;
	bool block_device;
	bool readonly;
	uint32_t memory_align; /* of O_DIRECT buffers, bytes, a power of two */
	uint32_t length_align; /* of O_DIRECT pieces */
	uint64_t part_max;     /* bytes of an operation, a multiple of 4096 */
	uint32_t part_pieces;  /* pieces of memory, likewise */
	enum cache_mode cache; /* never CACHE_AUTO */
	uint64_t offset;       /* of the disk's first byte */
	struct backend_limits limits;
	char identity[BACKEND_IDENTITY_MAX]; /* of the file or disk, without @offset */
};

/**
 * store_open() - open, examine, lock
 * @wait_ms: how long to wait for a process that has it: one that was killed lets go of it when the
 *           last of its I/O has ended, and not before
 *
 * Any thread. Logs its failure with the device's name and the path. Nothing stays open then.
 *
 * Return: 0; -EBUSY: used by another process; -EINVAL: it does not suit; other -errno
 */
int __must_check store_open(const struct device_config *config, unsigned int wait_ms,
			    struct store *store);

/**
 * store_examine() - the same without a claim or a lock, and closed again: would it open?
 * @try_lock: nobody should have it: lock a file for that moment, and look for users without a lock
 * @store:    out: its limits and identity
 *
 * Of a store that a running server has, and may leave to us. Return: as store_open()
 */
int __must_check store_examine(const struct device_config *config, bool try_lock,
			       struct store *store);

/**
 * store_try_claim() - could a block device that is written be opened exclusively just now?
 *
 * Opens and closes it, and does nothing for a file. Return: 0; -EBUSY, logged; other -errno
 */
int __must_check store_try_claim(const struct device_config *config);

/** store_descriptors() - where it keeps those that this process has open. Return: how many */
unsigned int store_descriptors(struct store *store, int **fds, unsigned int max);

/** store_moved() - they are in the process's table now: others may share the claim */
void store_moved(struct store *store);

/** store_close() - closes and so unlocks */
void store_close(struct store *store);

#endif
