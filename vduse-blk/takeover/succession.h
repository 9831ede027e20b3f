/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connects both sides of a takeover to the disks of this server, which may be the new server
 * (takeover_new.h) and later the old one (takeover_old.h). Main thread.
 */
#ifndef VDUSE_BLK_SUCCESSION_H
#define VDUSE_BLK_SUCCESSION_H

#include <stdbool.h>

#include "compiler.h"
#include "control/control.h"
#include "control/control_request.h"
#include "disk/disks.h"
#include "examine.h"
#include "takeover_new.h"
#include "takeover_old.h"

struct succession {
	/* Set by the caller. */
	struct disks *disks;
	/** @ready: the start, and the takeover if there is one, have ended. May be NULL */
	void (*ready)(struct succession *succession);

	struct takeover_new from; /* from old servers to this one */
	struct takeover_old to;	  /* from this server to a new one */
	struct examine examine;
};

/**
 * succession_prepare() - for --takeover: all steps that may fail before a disk is released
 *
 * Begins a session with each server that has disks of the configuration. These servers release no disk
 * yet. Examines every disk: opens its store, and compares what the driver would see with the inflight
 * log. Blocks. Return: 0; -errno, logged: the old servers continue to serve
 */
int __must_check succession_prepare(struct succession *succession);

/** succession_start() - between disks_add_all() and disks_start() */
void succession_start(struct succession *succession);

/** succession_requested() - respond to a request of a new server. Return: false: it is another request */
bool succession_requested(struct succession *succession, const struct control_request *request,
			  struct control_call *call);

/**
 * succession_cancel() - a signal ends this server: cancel its takeover, unless that is complete
 *
 * Return: true: this server leaves every disk, and the old server takes it back; false: there is no
 * takeover to cancel
 */
bool succession_cancel(struct succession *succession, const char *signal_name);

/** succession_stop() - this server detaches its disks: old servers keep the disks not released yet */
void succession_stop(struct succession *succession);

/** succession_exit() - free everything. Call it when the ring is not run any more */
void succession_exit(struct succession *succession);

#endif
