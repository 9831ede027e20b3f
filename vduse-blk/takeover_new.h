/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The new server's side of a takeover (takeover.h), from the agreement to the last disk. Main thread;
 * nothing here blocks.
 */
#ifndef VDUSE_BLK_TAKEOVER_NEW_H
#define VDUSE_BLK_TAKEOVER_NEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "config.h"
#include "ring.h"
#include "takeover_ask.h"

struct takeover_new;
struct taken;
struct old_server;

struct takeover_new_ops {
	/** @released: no other server has this disk any more: it may be opened and adopted */
	void (*released)(struct takeover_new *takeover, size_t disk);
	/** @gave_up: leave every disk as it is: an old server takes it back. Logged */
	void (*gave_up)(struct takeover_new *takeover);
};

struct takeover_new {
	/* Set by the caller. A disk's number is that of its device in @config. */
	const struct takeover_new_ops *ops;
	const struct config *config;
	uint64_t
		tick_us; /* after two of which a disk counts as stalled; 0: a quarter of a second */

	struct ring *ring;
	struct old_server *servers;
	size_t server_count;
	struct taken *disks; /* config->device_count of them */
	struct ring_timer retry, tick;
	bool complete, given_up;
};

/**
 * takeover_new_init() - with the servers that agreed, whose sessions it takes
 *
 * Return: 0; -ENOMEM
 */
int __must_check takeover_new_init(struct takeover_new *takeover, struct ring *ring,
				   struct takeover_agreement *agreement);

/** takeover_new_end() - this server ends: the old ones keep the disks that they have still */
void takeover_new_end(struct takeover_new *takeover);

/** takeover_new_exit() - close all sessions; the ring is not run any more */
void takeover_new_exit(struct takeover_new *takeover);

/** takeover_new_holds() - has another server this disk? Then @ops->released will be called for it */
bool takeover_new_holds(const struct takeover_new *takeover, size_t disk);

/** takeover_new_start() - listen to the old servers; @ops may be called from now on */
void takeover_new_start(struct takeover_new *takeover);

/** takeover_new_ask() - this server is ready for the disk; no effect where no other server has it */
void takeover_new_ask(struct takeover_new *takeover, size_t disk);

/** takeover_new_serving() - the disk was adopted; no effect where no other server had it */
void takeover_new_serving(struct takeover_new *takeover, size_t disk);

/** takeover_new_failed() - the disk cannot be adopted: gives up, unless the takeover is complete */
void takeover_new_failed(struct takeover_new *takeover, size_t disk);

/**
 * takeover_new_complete() - each disk is served here, or its release takes too long
 *
 * Where there are old servers, the service manager has this process for the main one from now on, and
 * they forget their disks. Return: false: no disk was released at all, and the takeover is given up
 */
bool takeover_new_complete(struct takeover_new *takeover);

/**
 * takeover_new_give_up() - have the old servers take all disks back
 * @why: for the log
 *
 * Return: false: it is complete, or no old server is there that could
 */
bool takeover_new_give_up(struct takeover_new *takeover, const char *why);

#endif
