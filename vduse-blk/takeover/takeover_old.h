/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old server's side of a takeover (takeover.h): one session at a time, until its client leaves.
 * Main thread, like the disks; nothing here blocks.
 */
#ifndef VDUSE_BLK_TAKEOVER_OLD_H
#define VDUSE_BLK_TAKEOVER_OLD_H

#include <stdbool.h>

#include "compiler.h"
#include "control/control.h"
#include "disk/disk_command.h"
#include "list.h"

struct takeover_old;

/*
 * What the session does with a disk, by its name: disks may end and others be made meanwhile. Tests bring
 * their own implementation.
 */
struct takeover_old_ops {
	/**
	 * @names: of all disks that this server has, one a line; the caller frees it; NULL: no
	 * memory. Not those that have ended, or that another server has
	 */
	char *(*names)(struct takeover_old *old);
	/** @has: is it one of @names? */
	bool (*has)(struct takeover_old *old, const char *name);
	/** @release: as disk_command(), for a disk that @has */
	void (*release)(struct takeover_old *old, const char *name, struct disk_command *command);
	/** @take_back: as disk_take_back(): the disk is released, or about to be */
	void (*take_back)(struct takeover_old *old, const char *name);
	/** @forget: as disk_forget(): the disk is released, or has ended; it is none of @names */
	void (*forget)(struct takeover_old *old, const char *name);
};

struct takeover_old {
	/* Set by the caller. */
	const struct takeover_old_ops *ops;
	struct ring *ring;

	struct control_session session;
	bool active;
	bool complete;		      /* "complete" has come */
	struct list disks;	      /* of the session: those that this server had at its begin */
	struct ring_timer retry_send; /* runs after a full socket */
};

/**
 * takeover_old_begin() - respond to CONTROL_TAKE_OVER, and begin a session unless there is a reason not to
 * @names: the disks of the new server, one a line
 */
void takeover_old_begin(struct takeover_old *old, struct control_call *call, const char *names);

/** takeover_old_exit() - free everything. Call it when the ring is not run any more */
void takeover_old_exit(struct takeover_old *old);

#endif
