/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of requests in flight: what a server that was killed had taken and not given back.
 *
 * A shared file per device, in a directory only its owner can enter. The next server finds in it
 * whether it may go on (the same disk, features, queues) and which heads it must serve again. It
 * outlives the process, not the machine: memory order is all it needs.
 *
 * One entry per head. Its life, and what a crash at each point means:
 *
 *     taken        not given back: serve it again
 *     pushed       in the used ring, but used->idx may or may not show it: compare used->idx
 *                  with the one recorded; all pushed entries were published, or none was
 *     free
 *
 * So a request is served at least once, and nothing the driver has been told about is served again.
 */
#ifndef LIB_INFLIGHT_H
#define LIB_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define INFLIGHT_IDENTITY_MAX 256
#define INFLIGHT_WHY_MAX      (2 * INFLIGHT_IDENTITY_MAX + 64)

/* What must be the same for a new server to go on where an old one stopped. */
struct inflight_params {
	const char *directory; /* made with mode 0700 where it is missing */
	const char *name;      /* of the device */
	uint64_t features;     /* offered */
	uint16_t vq_num;
	uint16_t vq_size;
	const char *identity; /* the user's own, up to INFLIGHT_IDENTITY_MAX - 1 bytes of text */
};

/* One queue's part of the file. Written by the queue's thread only. */
struct inflight_vq {
	uint64_t next_order; /* 1, 2, ...: heads are served again in this order */
	uint32_t active;     /* 0: the queue was not running */
	uint16_t used_idx;   /* used->idx when every entry was last known to be true */
	uint16_t ahead;	     /* avail index minus used index with nothing in flight */
	uint32_t marked;     /* the user's own; 0 in a new record, kept by everything here */
	uint32_t reserved;
	uint64_t entries[]; /* by head: 0 free, order << 1, order << 1 | 1 pushed */
};

struct inflight;

/**
 * inflight_make_directory() - make the directory with mode 0700 where it is missing
 *
 * Return: 0; -EPERM: another user owns it, or other users may write to it; other -errno; logged
 */
int __must_check inflight_make_directory(const char *path);

/**
 * inflight_create() - a new, empty record; one of that name that is there is replaced
 *
 * Return: 0; -errno, logged: -EPERM for a directory that others may write to
 */
int __must_check inflight_create(const struct inflight_params *params, struct inflight **out);

/**
 * inflight_open() - the record that an earlier server left
 * @why: out, on -EINVAL: what is wrong or differs, for people
 *
 * Checks version, checksum and size of the file, and that all of @params agree. Everything in the
 * file is hostile until then.
 *
 * Return: 0; -ENOENT: there is none; -EINVAL; other -errno. Logs nothing
 */
int __must_check inflight_open(const struct inflight_params *params, struct inflight **out,
			       char why[INFLIGHT_WHY_MAX]);

/**
 * inflight_peek() - what is an earlier server's record of?
 * @params:   in: directory, name; out: features, vq_num, vq_size, identity
 * @identity: out: what @params->identity points at
 * @why:      out, on -EINVAL: what is wrong with the file
 *
 * Makes nothing, not even the directory. Return: as inflight_open()
 */
int __must_check inflight_peek(struct inflight_params *params, char identity[INFLIGHT_IDENTITY_MAX],
			       char why[INFLIGHT_WHY_MAX]);

/**
 * inflight_open_any() - the record that an earlier server left, whatever it served
 * @params: in: directory, name, vq_num; out: vq_size
 *
 * For a server that answers with errors only. Return: as inflight_open(); -EINVAL also where it is
 * of another number of queues
 */
int __must_check inflight_open_any(struct inflight_params *params, struct inflight **out);

/** inflight_close() - @remove: the device is gone, and so may be the record */
void inflight_close(struct inflight *inflight, bool remove);

/** inflight_vq() - the part of queue @index; valid until inflight_close() */
struct inflight_vq *inflight_vq(struct inflight *inflight, uint32_t index);

/** inflight_vq_start() - empty, from these indices on */
void inflight_vq_start(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       uint16_t next_avail);

/** inflight_vq_stop() - the driver has not made the queue ready: there is nothing to go on with */
void inflight_vq_stop(struct inflight_vq *log);

/** inflight_vq_is_active() - was the queue running, with anything taken since it started? */
static inline bool inflight_vq_is_active(const struct inflight_vq *log)
{
	return load_relaxed(&log->active) && log->next_order > 1;
}

/** inflight_vq_take() - before anything is done for @head */
static inline void inflight_vq_take(struct inflight_vq *log, uint16_t head)
{
	store_release(&log->entries[head], log->next_order++ << 1);
}

/** inflight_vq_push() - after its used element was written, before used->idx is moved past it */
static inline void inflight_vq_push(struct inflight_vq *log, uint16_t head)
{
	store_release(&log->entries[head], log->entries[head] | 1);
}

/** inflight_vq_published() - after used->idx was moved to @used_idx, past these heads */
static inline void inflight_vq_published(struct inflight_vq *log, const uint16_t *heads,
					 uint32_t count, uint16_t used_idx)
{
	for (uint32_t i = 0; i < count; i++)
		store_relaxed(&log->entries[heads[i]], 0);
	/* Last: until here the recorded index tells a restarted server that they were published. */
	store_release(&log->used_idx, used_idx);
}

/**
 * inflight_vq_guess() - without a record: take it that all were served in the order they came
 * @heads: of the chains that were made available and not given back; @count of them, all different
 */
void inflight_vq_guess(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       const uint16_t *heads, uint16_t count);

/**
 * inflight_vq_recover() - which heads must be served again?
 * @used_idx: as the ring shows it now
 * @num:      size of the ring, at most the record's vq_size
 * @heads:    out: @num entries, in the order they were taken
 *
 * Settles the entries that were pushed. Return: how many heads; -EINVAL: the record is not of this
 * ring
 */
int __must_check inflight_vq_recover(struct inflight_vq *log, uint16_t used_idx, uint16_t num,
				     uint16_t *heads);

#endif
