/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file or block device of this host: opens, examines, claims and locks it. */
#ifndef VDUSE_BLK_HOST_FILE_H
#define VDUSE_BLK_HOST_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "compiler.h"
#include "config/config.h"
#include "own_files.h"

struct claim;

#define STORE_SYNCS 4

/* An open file or block device. A descriptor that is not open is -1. */
struct host_file {
	int fd;		     /* for all operations but syncs; O_DIRECT where @direct */
	struct own_file own; /* of a regular file */
	struct claim *claim; /* of a block device that is written; shared by disks on that device */
	/*
	 * For syncs. They are opened before any write, so that the kernel reports each lost write
	 * once to each of them. The caller remembers a failed sync: the next one may succeed.
	 */
	int sync_fds[STORE_SYNCS];
	unsigned int sync_count; /* the number of @sync_fds; 0 if nothing is written */
	bool direct;
	bool block_device;
	bool readonly;
	uint32_t memory_align; /* of O_DIRECT buffers, bytes, a power of two */
	uint32_t length_align; /* of O_DIRECT pieces */
	uint64_t part_max;     /* bytes of an operation at most, a multiple of 4096 */
	uint32_t part_pieces;  /* pieces of memory of an operation at most */
	enum cache_mode cache; /* never CACHE_AUTO */
	uint64_t offset;       /* of the disk's first byte */
	struct backend_limits limits;
	char identity[BACKEND_IDENTITY_MAX]; /* of the file or disk, without @offset */
};

/**
 * host_file_open() - open, examine, lock
 * @wait_ms: how long to wait for another process that uses the store: a killed process uses it until
 *           its last I/O has ended
 *
 * Any thread. Logs a failure with the device's name and the path; then nothing stays open.
 *
 * Return: 0; -EBUSY: used by another process; -EINVAL: the configuration does not fit; other -errno
 */
int __must_check host_file_open(const struct device_config *config, unsigned int wait_ms,
				struct host_file *file);

/**
 * host_file_examine() - open and examine a store, without a claim or a lock, and close it again
 * @try_lock: also lock a file for a moment, and look for other users; no server may have the store
 * @file:    out: its limits and identity
 *
 * Without @try_lock a running server may have the store. Return: as host_file_open()
 */
int __must_check host_file_examine(const struct device_config *config, bool try_lock,
				   struct host_file *file);

/**
 * host_file_try_claim() - open a block device that is written with O_EXCL, and close it again
 *
 * Does nothing for a file. Return: 0; -EBUSY, logged; other -errno
 */
int __must_check host_file_try_claim(const struct device_config *config);

/** host_file_identify() - the identity of the file or block device at the path; "": there is none */
void host_file_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX]);

/** host_file_descriptors() - the addresses of its descriptors; -1: not open here. Return: their number */
unsigned int host_file_descriptors(struct host_file *file, int **fds, unsigned int max);

/** host_file_moved() - its descriptors are now in the process's table; other disks may share the claim */
void host_file_moved(struct host_file *file);

/** host_file_forget() - its descriptors are now in a table of other threads, which close them */
void host_file_forget(struct host_file *file);

/** host_file_close() - close all descriptors, which unlocks the store */
void host_file_close(struct host_file *file);

#endif
