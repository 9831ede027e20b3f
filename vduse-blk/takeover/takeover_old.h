/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old server's side of a takeover (takeover.h): one session at a time, until the new server closes
 * the connection. Main thread; nothing here blocks.
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
 * Operations on disks, by name, since disks may end and new ones may be created during a session. Tests
 * have another implementation.
 */
struct takeover_old_ops {
	/**
	 * @names: the names of all disks of this server, one on each line; the caller frees the text;
	 * NULL: no memory. Without disks that have ended or that another server has
	 */
	char *(*names)(struct takeover_old *old);
	/** @has: is it one of @names? */
	bool (*has)(struct takeover_old *old, const char *name);
	/** @release: as disk_command(), for a disk that @has */
	void (*release)(struct takeover_old *old, const char *name, struct disk_command *command);
	/** @connection: as disk_pass_connection(), for a disk that is released. @fds: TAKEOVER_FDS */
	int (*connection)(struct takeover_old *old, const char *name, int *fds);
	/** @take_back: as disk_take_back(), for a disk that is released or being released */
	void (*take_back)(struct takeover_old *old, const char *name);
	/** @forget: as disk_forget(), for a disk that is released or has ended: remove it from @names */
	void (*forget)(struct takeover_old *old, const char *name);
};

struct takeover_old {
	/* Set by the caller. */
	const struct takeover_old_ops *ops;
	struct ring *ring;

	struct control_session session;
	bool active;
	bool complete;		      /* "complete" has come */
	bool connections;	      /* "connections" has come */
	struct list disks;	      /* those that this server had when the session began */
	struct ring_timer retry_send; /* runs after a full socket */
};

/**
 * takeover_old_begin() - respond to CONTROL_TAKE_OVER: begin a session, or refuse it with the reason
 * @names: the disks of the new server, one on each line
 */
void takeover_old_begin(struct takeover_old *old, struct control_call *call, const char *names);

/** takeover_old_exit() - free everything. Call it when the ring is not run any more */
void takeover_old_exit(struct takeover_old *old);

#endif
