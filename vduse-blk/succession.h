/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server between the one before it and the one after it: both sides of a takeover (takeover_new.h,
 * takeover_old.h), and the disks that both are about. Main thread.
 */
#ifndef VDUSE_BLK_SUCCESSION_H
#define VDUSE_BLK_SUCCESSION_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control.h"
#include "disks.h"
#include "examine.h"
#include "takeover_new.h"
#include "takeover_old.h"

struct succession {
	struct disks *disks; /* set by the caller, like @ready */
	/** @ready: the start has come to its end, and a takeover is complete. May be NULL */
	void (*ready)(struct succession *succession);

	struct takeover_new from; /* the servers before this one */
	struct takeover_old to;	  /* the server after it */
	struct examine examine;
};

/**
 * succession_prepare() - for --takeover: everything that takes time, and that can be refused
 *
 * Asks the servers that have disks of ours, which release nothing yet; examines every disk, and
 * compares what the driver would see with the inflight logs. Blocks. Return: 0; -errno, logged: the
 * old servers go on
 */
int __must_check succession_prepare(struct succession *succession);

/** succession_start() - between disks_init() and disks_start() */
void succession_start(struct succession *succession);

/** succession_begin() - a question that begins a session with the next server: control->begin */
bool succession_begin(struct succession *succession, struct control_client *client,
		      const char *question, FILE *to, bool *ok);

/** succession_is_leaving() - is another server just taking over? */
bool succession_is_leaving(const struct succession *succession);

/**
 * succession_cancel() - a signal ends this server: give a takeover up that is not complete
 *
 * Return: true: every disk is left, and taken back by the server before. false: nothing was done
 */
bool succession_cancel(struct succession *succession, const char *signal_name);

/** succession_stop() - this server detaches its disks: those that it has not got yet stay where they are */
void succession_stop(struct succession *succession);

/** succession_exit() - at the very end; the ring is not run any more */
void succession_exit(struct succession *succession);

#endif
