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
#include "control.h"
#include "disk.h"

struct takeover_old;

/* What the session does with the disks, by their numbers. Tests have disks of their own. */
struct takeover_old_ops {
	/** @name: NULL: it has ended, or another server has it */
	const char *(*name)(struct takeover_old *old, size_t disk);
	/** @release: as disk_hand_over() */
	void (*release)(struct takeover_old *old, size_t disk, struct handover *handover);
	/** @take_back: as disk_take_back(): the disk is released, or about to be */
	void (*take_back)(struct takeover_old *old, size_t disk);
	/** @forget: as disk_forget(): the disk is released */
	void (*forget)(struct takeover_old *old, size_t disk);
};

/* How far the takeover of a disk is. */
struct yielded;

struct takeover_old {
	/* Set by the caller. */
	const struct takeover_old_ops *ops;
	size_t disk_count; /* how many numbers @ops->name takes */
	struct ring *ring;

	struct control_session session;
	bool active;
	bool complete;		      /* the new server has said so */
	struct yielded *disks;	      /* of the session; disk_count of them */
	struct ring_timer retry_tell; /* the new server does not read for now */
};

/**
 * takeover_old_begin() - answer TAKEOVER_BEGIN; as control->begin
 *
 * Return: false: it is another question. Else @to has the names, or why it is refused, and *@ok
 * says which
 */
bool takeover_old_begin(struct takeover_old *old, struct control_client *client,
			const char *question, FILE *to, bool *ok);

#endif
