/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inflight log: the requests that a server had popped and not completed when it was killed.
 *
 * One file for each device, mapped shared, in a directory that only its owner can enter. The next
 * server reads in it whether it may adopt the device (the disk, features and queues must be
 * unchanged), and which heads it must serve again. A process that dies does not damage the log, and
 * no other failure matters: so memory order is enough, and the file is never synced.
 *
 * The log has one entry for each head. The states of an entry, and what to do after a crash:
 *
 *     taken        popped, not pushed: serve it again
 *     pushed       in the used ring, perhaps not published: compare used->idx with @used_idx. All
 *                  pushed entries were published, or none of them
 *     free
 *
 * So a request is served at least once, and a published request is not served again.
 */
#ifndef LIB_INFLIGHT_H
#define LIB_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define INFLIGHT_IDENTITY_MAX 256
#define INFLIGHT_WHY_MAX      (2 * INFLIGHT_IDENTITY_MAX + 64)

/* A new server adopts a device only if all of these are unchanged. */
struct inflight_params {
	const char *directory; /* created with mode 0700 if it is missing */
	const char *name;      /* of the device */
	uint64_t features;     /* offered */
	uint16_t vq_num;
	uint16_t vq_size;
	/* Defined by the caller: at most INFLIGHT_IDENTITY_MAX - 1 bytes. NULL: any, when a log is opened */
	const char *identity;
};

/* The part of one queue in the file. Written by the queue's thread only, except for @user_*. */
struct inflight_vq {
	uint64_t next_order; /* 1, 2, ...: the order in which heads are served again */
	uint32_t active;     /* 0: the queue was not running */
	uint16_t used_idx;   /* used->idx when the entries were last updated */
	uint16_t ahead;	     /* avail index minus used index with nothing in flight */
	uint32_t user_flag; /* defined by the caller; 0 in a new log, never changed by inflight.c */
	uint32_t user_value; /* likewise */
	uint64_t entries[];  /* by head: 0 free, order << 1, order << 1 | 1 pushed */
};

struct inflight;

/**
 * inflight_make_directory() - create the directory with mode 0700 if it is missing
 *
 * Return: 0; -EPERM: another user owns it, or other users may write to it; other -errno; logged
 */
int __must_check inflight_make_directory(const char *path);

/**
 * inflight_create() - create an empty log; replaces an existing file
 *
 * Return: 0; -EPERM: other users may write to the directory; other -errno; logged
 */
int __must_check inflight_create(const struct inflight_params *params, struct inflight **out);

/**
 * inflight_open() - open the log of a former server
 * @why: out, on -EINVAL: an error text
 *
 * Checks version, checksum and size of the file, and compares all of @params. Trusts nothing in the
 * file before.
 *
 * Return: 0; -ENOENT: no log; -EINVAL: damaged or different; other -errno. Logs nothing
 */
int __must_check inflight_open(const struct inflight_params *params, struct inflight **out,
			       char why[INFLIGHT_WHY_MAX]);

/**
 * inflight_peek() - read the parameters in the log of a former server
 * @params:   in: directory, name; out: features, vq_num, vq_size, identity
 * @identity: out: @params->identity points to it
 * @why:      out, on -EINVAL: an error text
 *
 * Creates nothing, not even the directory. Return: as inflight_open()
 */
int __must_check inflight_peek(struct inflight_params *params, char identity[INFLIGHT_IDENTITY_MAX],
			       char why[INFLIGHT_WHY_MAX]);

/**
 * inflight_open_any() - open the log of a former server, of any disk
 * @params: in: directory, name, vq_num; out: vq_size
 *
 * For rescue, which completes all requests with errors. Return: as inflight_open(); -EINVAL also if
 * the number of queues differs
 */
int __must_check inflight_open_any(struct inflight_params *params, struct inflight **out);

/**
 * inflight_memory_new() - create an empty log in memory (memfd) that another process can keep
 * @params: all except @directory
 * @fd:     out: the caller closes it. The size of the file is sealed
 * @size:   out: bytes
 *
 * Return: 0; -errno; logs nothing
 */
int __must_check inflight_memory_new(const struct inflight_params *params, int *fd, size_t *size);

/**
 * inflight_memory_open() - open a log of inflight_memory_new(), which another process has kept
 * @fd:  the caller closes it
 * @why: out, on -EINVAL: an error text
 *
 * The other process may be hostile, and may change the log at any time. Return: 0; -EINVAL: damaged,
 * different, or not of inflight_memory_new(); other -errno. Logs nothing
 */
int __must_check inflight_memory_open(const struct inflight_params *params, int fd,
				      struct inflight **out, char why[INFLIGHT_WHY_MAX]);

/**
 * inflight_memory_identity() - copy the identity in a log that was opened with params->identity NULL
 *
 * Bytes that are not printable are question marks: the other process may have put any there.
 */
void inflight_memory_identity(const struct inflight *inflight,
			      char identity[INFLIGHT_IDENTITY_MAX]);

/** inflight_close() - @remove: delete the file, since the device does not exist any more */
void inflight_close(struct inflight *inflight, bool remove);

/** inflight_vq_count() - the number of queues that the log has parts for */
uint32_t inflight_vq_count(const struct inflight *inflight);

/** inflight_vq() - the part of queue @index; valid until inflight_close() */
struct inflight_vq *inflight_vq(struct inflight *inflight, uint32_t index);

/** inflight_vq_start() - empty the log of a queue, which starts at these indices */
void inflight_vq_start(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       uint16_t next_avail);

/** inflight_vq_stop() - the driver has not set the queue up: the next server must not adopt it */
void inflight_vq_stop(struct inflight_vq *log);

/** inflight_vq_is_active() - was the queue running, and has it popped a head since its start? */
static inline bool inflight_vq_is_active(const struct inflight_vq *log)
{
	return load_relaxed(&log->active) && log->next_order > 1;
}

/** inflight_vq_take() - call it after @head was popped, before its request is executed */
static inline void inflight_vq_take(struct inflight_vq *log, uint16_t head)
{
	store_release(&log->entries[head], log->next_order++ << 1);
}

/** inflight_vq_push() - call it after the used element was written, before it is published */
static inline void inflight_vq_push(struct inflight_vq *log, uint16_t head)
{
	store_release(&log->entries[head], log->entries[head] | 1);
}

/** inflight_vq_published() - call it after used->idx was set to @used_idx: publishes @heads */
static inline void inflight_vq_published(struct inflight_vq *log, const uint16_t *heads,
					 uint32_t count, uint16_t used_idx)
{
	for (uint32_t i = 0; i < count; i++)
		store_relaxed(&log->entries[heads[i]], 0);
	/* Last: the old @used_idx shows a restarted server that pushed entries were published. */
	store_release(&log->used_idx, used_idx);
}

/**
 * inflight_vq_guess() - fill an empty log: assumes that requests were completed in their order
 * @heads: of the @count chains that are available and not completed, all different
 */
void inflight_vq_guess(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       const uint16_t *heads, uint16_t count);

/**
 * inflight_vq_recover() - find the heads that must be served again
 * @used_idx: used->idx of the ring
 * @num:      size of the ring, at most vq_size of the log
 * @heads:    out: up to @num heads, in the order in which they were popped
 *
 * Makes pushed entries free or taken. Return: the number of heads; -EINVAL: the log does not match
 * the ring
 */
int __must_check inflight_vq_recover(struct inflight_vq *log, uint16_t used_idx, uint16_t num,
				     uint16_t *heads);

#endif
