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
	/** @released: the old server has closed this disk: open and adopt it */
	void (*released)(struct takeover_new *takeover, const char *name);
	/**
	 * @connection: before @released: the old server has passed the connection of its front end
	 * (disk_set_connection()). @fds: TAKEOVER_FDS. @connection may be NULL. Return: does the callee own
	 * @fds now?
	 */
	bool (*connection)(struct takeover_new *takeover, const char *name, const int *fds);
	/** @kept: no old server can take the disk back any more (disk_keep_connection()). May be NULL */
	void (*kept)(struct takeover_new *takeover, const char *name);
	/** @cancelled: the takeover is cancelled, logged. Leave every disk: the old server takes it back */
	void (*cancelled)(struct takeover_new *takeover);
};

struct takeover_new {
	/* Set by the caller. */
	const struct takeover_new_ops *ops;
	unsigned int at_a_time; /* the number of disks that may pause together; 0: one */
	uint64_t
		tick_us; /* a disk is treated as stalled after two ticks; 0: a quarter of a second */

	struct ring *ring; /* NULL: there is no takeover */
	struct old_server *servers;
	size_t server_count;
	struct list disks; /* those that old servers have or had */
	struct ring_timer retry, tick;
	bool complete, cancelled;
};

/**
 * takeover_new_init() - prepare a takeover from the servers that agreed
 * @config:    of this server; only its disks are taken over
 * @agreement: this function takes its sessions: their descriptors become -1
 *
 * If it is not called, @takeover must be zeroed, and the functions below have no effect. Return: 0;
 * -ENOMEM: call takeover_new_exit() nevertheless
 */
int __must_check takeover_new_init(struct takeover_new *takeover, struct ring *ring,
				   const struct config *config,
				   struct takeover_agreement *agreement);

/** takeover_new_end() - end all sessions: the old servers keep the disks not released yet */
void takeover_new_end(struct takeover_new *takeover);

/** takeover_new_exit() - close all sessions. Call it when the ring is not run any more */
void takeover_new_exit(struct takeover_new *takeover);

/** takeover_new_holds() - does an old server have this disk? Until @ops->released is called */
bool takeover_new_holds(const struct takeover_new *takeover, const char *name);

/** takeover_new_start() - read messages of the old servers; @ops may be called from now on */
void takeover_new_start(struct takeover_new *takeover);

/** takeover_new_ask() - request the release of the disk; no effect if no old server has it */
void takeover_new_ask(struct takeover_new *takeover, const char *name);

/** takeover_new_serving() - the disk was adopted; no effect if no old server had it */
void takeover_new_serving(struct takeover_new *takeover, const char *name);

/** takeover_new_failed() - the disk cannot be adopted: cancel the takeover, unless it is complete */
void takeover_new_failed(struct takeover_new *takeover, const char *name);

/**
 * takeover_new_complete() - this server serves all disks but those whose release takes too long
 *
 * Tells the service manager that this process is the main process, and the old servers that the
 * takeover is complete. No effect without old servers. Return: false: the old servers have released no
 * disk, and the takeover is cancelled
 */
bool takeover_new_complete(struct takeover_new *takeover);

/**
 * takeover_new_cancel() - cancel the takeover: the old servers take all disks back
 * @why: the reason, for the log
 *
 * Return: false: the takeover is complete, or no old server is left
 */
bool takeover_new_cancel(struct takeover_new *takeover, const char *why);

#endif
