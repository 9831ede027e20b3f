/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old server's side of a takeover (takeover.h): one session at a time, until its client leaves.
 * Main thread, like the disks; nothing here blocks.
 */
#ifndef VDUSE_BLK_TAKEOVER_OLD_H
#define VDUSE_BLK_TAKEOVER_OLD_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control/control.h"
#include "disk/disk.h"

struct takeover_old;

/* What the session does with a disk, by its number. Tests bring their own implementation. */
struct takeover_old_ops {
	/** @name: the disk's name; NULL: it has ended, or another server has it */
	const char *(*name)(struct takeover_old *old, size_t disk);
	/** @release: as disk_hand_over() */
	void (*release)(struct takeover_old *old, size_t disk, struct handover *handover);
	/** @take_back: as disk_take_back(): the disk is released, or about to be */
	void (*take_back)(struct takeover_old *old, size_t disk);
	/** @forget: as disk_forget(): the disk is released */
	void (*forget)(struct takeover_old *old, size_t disk);
};

/* The state of a disk in the session. */
struct yielded;

struct takeover_old {
	/* Set by the caller. */
	const struct takeover_old_ops *ops;
	size_t disk_count; /* how many numbers @ops->name takes */
	struct ring *ring;

	struct control_session session;
	bool active;
	bool complete;		      /* "complete" has come */
	struct yielded *disks;	      /* of the session; disk_count of them */
	struct ring_timer retry_tell; /* runs after a full socket */
};

/**
 * takeover_old_begin() - handle a TAKEOVER_BEGIN request; to be used in control->begin
 * @to: the response: with *@ok the names of the disks, else the reason for the refusal
 *
 * Return: false: @question is another request; @to and *@ok are unchanged
 */
bool takeover_old_begin(struct takeover_old *old, struct control_client *client,
			const char *question, FILE *to, bool *ok);

#endif
