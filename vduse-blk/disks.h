/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All disks of a server: a list, and what only the list can decide. Main thread.
 *
 * Each disk lives by itself (disk.h). Together they decide in which order new disks are attached, that
 * of the file, so that /dev/vdX is the same at each start; when the start has come to its end; and when
 * there is nothing left to serve.
 */
#ifndef VDUSE_BLK_DISKS_H
#define VDUSE_BLK_DISKS_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "config.h"
#include "disk.h"

struct disks {
	/* Set by the caller before disks_start(): host.ring, host.config, host.workers. */
	struct disk_host host;
	/* The same, or NULL. */
	void *watcher;
	/** @watch: the state of @disk has changed, to any but GONE */
	void (*watch)(struct disks *disks, struct disk *disk);
	/** @start_ended: as @started; before the service manager is told. Return: false: do not */
	bool (*start_ended)(struct disks *disks);

	struct disk *all;
	size_t count;
	size_t remaining; /* not gone yet: serve until it is 0 */
	bool started;	  /* each disk is served, or has failed, or takes too long */
};

/** disks_init() - one for each device of host.config. Return: 0; -ENOMEM */
int __must_check disks_init(struct disks *disks);

/** disks_exit() - at the very end, after disks_init() has succeeded */
void disks_exit(struct disks *disks);

/** disks_hold() - before disks_start(): another server has @name, and will say when it is released */
void disks_hold(struct disks *disks, const char *name);

/**
 * disks_start() - open all stores, create or adopt the devices, attach them
 *
 * Prints "NAME /dev/NODE" on standard output as each becomes usable. What can be served is served; a
 * disk that fails is tried again. Tells systemd when each disk is attached, has failed, or takes too
 * long. Where every disk has failed by then, all end.
 */
void disks_start(struct disks *disks);

/**
 * disks_stop() - detach what is not used by anybody; report busy disks and try them again
 * @force: detach even so, now and later
 */
void disks_stop(struct disks *disks, bool force);

/** disks_leave() - stop serving, and leave everything in the kernel as it is */
void disks_leave(struct disks *disks);

/** disks_find() - Return: the disk of that name that has not ended; NULL */
struct disk *disks_find(struct disks *disks, const char *name);

/**
 * disks_answer() - answer a question that came through the control socket
 *
 * Return: false: an error. Either way @to has a text
 */
bool disks_answer(struct disks *disks, const char *question, FILE *to);

#endif
