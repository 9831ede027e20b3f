/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands to one disk, whose results are deferred. Main thread.
 *
 * A disk executes one command at a time, and refuses another one with -EBUSY. Signals are not
 * commands: they change the goal of all disks (disks.h), which has no result.
 */
#ifndef VDUSE_BLK_DISK_COMMAND_H
#define VDUSE_BLK_DISK_COMMAND_H

#include <stdbool.h>

#include "compiler.h"
#include "frontend/device.h"

struct disk;

enum disk_verb {
	/*
	 * Quiesce it, and close its device and its store, so that a new server can adopt it. Then it is
	 * RELEASED, until disk_forget() or disk_take_back().
	 */
	DISK_RELEASE,
	/* Detach it as soon as it is not in use, and end it. */
	DISK_REMOVE,
};

struct disk_command {
	/* Set by the caller. */
	enum disk_verb verb;
	bool force;	  /* DISK_REMOVE: also while it is in use */
	bool connections; /* DISK_RELEASE: keep the connection of its front end for the new server */
	/**
	 * @done: the result. Called once, unless disk_command_cancel() is called first; then the caller
	 * may use @command again. 0; -EBUSY: the state of the disk, or another command, does not allow
	 * it; other -errno: DISK_REMOVE: the disk has ended, but its device is left in the kernel, logged
	 */
	void (*done)(struct disk_command *command, int err);

	struct disk *disk; /* private; NULL: the command is not under way */
};

/** disk_command() - begin the command. May call @command->done before it returns */
void disk_command(struct disk *disk, struct disk_command *command);

/**
 * disk_command_cancel() - cancel the command; @done is not called any more
 *
 * The disk is served as before. A removal that has already detached the disk continues to its end. No
 * effect if the command is not under way.
 */
void disk_command_cancel(struct disk_command *command);

/**
 * disk_pass_connection() - the connection of the front end of a RELEASED disk, for the new server
 * @fds: out; see vhost_user_handover_open()
 *
 * Return: 0; -ENOENT: it has none; other -errno, logged
 */
int __must_check disk_pass_connection(struct disk *disk, int fds[DEVICE_CONNECTION_FDS]);

/**
 * disk_set_connection() - a former server has passed it; owned by the disk, for its next device
 * @held: the former server may take it back: see struct device_connection
 */
void disk_set_connection(struct disk *disk, const int fds[DEVICE_CONNECTION_FDS], bool held);

/** disk_keep_connection() - the takeover is complete: the connection is not held any more */
void disk_keep_connection(struct disk *disk);

/** disk_take_back() - serve a disk again that is RELEASED or being released; else no effect */
void disk_take_back(struct disk *disk);

/** disk_forget() - the new server serves the RELEASED disk: end it here; else no effect */
void disk_forget(struct disk *disk);

#endif
