/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The new server's side of a takeover (takeover.h), from the agreement to the last disk. Main
 * thread; nothing here blocks.
 */
#ifndef VDUSE_BLK_TAKEOVER_NEW_H
#define VDUSE_BLK_TAKEOVER_NEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "config/config.h"
#include "list.h"
#include "ring.h"
#include "takeover_ask.h"

struct takeover_new;
struct old_server;

struct takeover_new_ops {
	/** @released: no other server has this disk any more: this server opens and adopts it */
	void (*released)(struct takeover_new *takeover, const char *name);
	/** @cancelled: leave every disk as it is: the old server takes it back. Logged */
	void (*cancelled)(struct takeover_new *takeover);
};

struct takeover_new {
	/* Set by the caller. */
	const struct takeover_new_ops *ops;
	unsigned int at_a_time; /* disks that may pause together; 0: one */
	uint64_t tick_us; /* a disk counts as stalled after two ticks; 0: a quarter of a second */

	struct ring *ring; /* NULL: there is no takeover */
	struct old_server *servers;
	size_t server_count;
	struct list disks; /* those that old servers have or had */
	struct ring_timer retry, tick;
	bool complete, cancelled;
};

/**
 * takeover_new_init() - prepare a takeover from the servers that agreed
 * @config:    of this server, which wants these disks and no others
 * @agreement: this function takes its sessions: their descriptors become -1
 *
 * Without a call of it, @takeover is zeroed, and the functions below have no effect. Return: 0;
 * -ENOMEM: call takeover_new_exit() all the same
 */
int __must_check takeover_new_init(struct takeover_new *takeover, struct ring *ring,
				   const struct config *config,
				   struct takeover_agreement *agreement);

/** takeover_new_end() - this server ends: the old servers keep the disks not released yet */
void takeover_new_end(struct takeover_new *takeover);

/** takeover_new_exit() - close all sessions. Call it when the ring is not run any more */
void takeover_new_exit(struct takeover_new *takeover);

/** takeover_new_holds() - does another server have this disk? @ops->released is called when not */
bool takeover_new_holds(const struct takeover_new *takeover, const char *name);

/** takeover_new_start() - read messages of the old servers; @ops may be called from now on */
void takeover_new_start(struct takeover_new *takeover);

/** takeover_new_ask() - ask for the release of the disk; no effect where no other server has it */
void takeover_new_ask(struct takeover_new *takeover, const char *name);

/** takeover_new_serving() - the disk was adopted; no effect where no other server had it */
void takeover_new_serving(struct takeover_new *takeover, const char *name);

/** takeover_new_failed() - the disk cannot be adopted: give up, unless the takeover is complete */
void takeover_new_failed(struct takeover_new *takeover, const char *name);

/**
 * takeover_new_complete() - this server serves each disk, or the release of that disk takes too
 * long
 *
 * Where there are old servers, tells the service manager that this process is the main process, and
 * the old servers that the takeover is complete. Return: false: the old servers have not released a
 * single disk, and the takeover is given up
 */
bool takeover_new_complete(struct takeover_new *takeover);

/**
 * takeover_new_cancel() - make the old servers take all disks back
 * @why: the reason, for the log
 *
 * Return: false: the takeover is complete, or there is no old server any more
 */
bool takeover_new_cancel(struct takeover_new *takeover, const char *why);

#endif
