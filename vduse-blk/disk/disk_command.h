/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one disk is asked to do, with an answer that comes later. Main thread.
 *
 * A disk takes one command at a time: another one that comes meanwhile is answered with -EBUSY. Signals
 * are no such commands: they change the goal of all disks (disks.h), and no one waits for that.
 */
#ifndef VDUSE_BLK_DISK_COMMAND_H
#define VDUSE_BLK_DISK_COMMAND_H

#include <stdbool.h>

#include "compiler.h"

struct disk;

enum disk_verb {
	/*
	 * Quiesce it, close its device and its store, so that a new server can adopt it. It then is
	 * RELEASED, until disk_forget() or disk_take_back().
	 */
	DISK_RELEASE,
	/* Detach it as soon as it is not in use, and end it. */
	DISK_REMOVE,
};

struct disk_command {
	/* Set by the caller. */
	enum disk_verb verb;
	bool force; /* DISK_REMOVE: also while it is in use */
	/**
	 * @done: the answer. Called once, unless disk_command_cancel() comes first; @command is the
	 * caller's again. 0; -EBUSY: this state of the disk, or another command, does not allow it;
	 * other -errno: DISK_REMOVE: the disk has ended, but its device is left in the kernel, logged
	 */
	void (*done)(struct disk_command *command, int err);

	struct disk *disk; /* private; NULL: the command is not under way */
};

/** disk_command() - begin it. May call @command->done before it returns */
void disk_command(struct disk *disk, struct disk_command *command);

/**
 * disk_command_cancel() - the one who asked has gone: @done is not called any more
 *
 * The disk is served on. A removal that has detached it already goes on to the end. No effect where
 * the command is not under way.
 */
void disk_command_cancel(struct disk_command *command);

/** disk_take_back() - serve a disk again that is RELEASED or about to be; no effect on another */
void disk_take_back(struct disk *disk);

/** disk_forget() - the new server serves a disk that is RELEASED: it ends; no effect on another */
void disk_forget(struct disk *disk);

#endif
