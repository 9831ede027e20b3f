/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of all disks of a server. Main thread.
 *
 * Each disk is independent (disk.h): it can be added and can end at any time. The list decides in which
 * order new disks are attached: in the order in which they were added, so that /dev/vdX is the same at
 * each start. It also decides when the start has ended, and when all disks have ended.
 */
#ifndef VDUSE_BLK_DISKS_H
#define VDUSE_BLK_DISKS_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"
#include "disk.h"
#include "list.h"

struct disks {
	/* Set by the caller before disks_init(): host.ring, host.config, host.workers. */
	struct disk_host host;
	/* The same, or NULL. */
	void *watcher;
	/** @watch: the state of @disk has changed */
	void (*watch)(struct disks *disks, struct disk *disk);
	/** @start_ended: as @started. Return: shall the service manager be notified? */
	bool (*start_ended)(struct disks *disks);

	struct list all;  /* struct disk, in the order in which they are attached */
	size_t remaining; /* disks that have not ended: serve until it is 0 */
	size_t ended;	  /* disks in @all that have ended, and are not freed yet */
	bool started;	  /* each disk is served, has failed, or takes too long */
};

/** disks_for_each() - @one: each disk of @disks, also one that has ended; the loop may end it */
#define disks_for_each(one, disks) list_for_each_entry (one, &(disks)->all, struct disk, node)

/** disks_init() - an empty list */
void disks_init(struct disks *disks);

/**
 * disks_add() - a disk that is attached after those before it; start it with disk_start()
 * @config: of the disk, which copies it
 * @out:    may be NULL
 *
 * Return: 0; -EEXIST: there is a disk of that name; -ESHUTDOWN: all disks end; -ENOMEM
 */
int __must_check disks_add(struct disks *disks, const struct device_config *config,
			   struct disk **out);

/** disks_add_all() - a disk for each section of host.config. Return: 0; -errno as disks_add() */
int __must_check disks_add_all(struct disks *disks);

/** disks_reap() - free disks that have ended. Call it between two calls of ring_run() */
void disks_reap(struct disks *disks);

/** disks_exit() - free everything. Call it when the ring is not run any more */
void disks_exit(struct disks *disks);

/** disks_hold() - do not open @name before disk_released(): another server has it. Call it first */
void disks_hold(struct disks *disks, const char *name);

/**
 * disks_start() - open all stores, create or adopt the devices, attach them
 *
 * Prints "NAME /dev/NODE" on standard output when a disk becomes usable. A disk that fails is tried
 * again. When each disk is attached, has failed, or takes too long, the start has ended: then the
 * service manager is notified. Where every disk has failed, all of them end.
 */
void disks_start(struct disks *disks);

/**
 * disks_stop() - detach all disks; try disks in use again until they are not in use, and log their
 * users
 * @force: detach disks in use too, now and later
 */
void disks_stop(struct disks *disks, bool force);

/** disks_leave() - stop serving, and leave everything in the kernel as it is */
void disks_leave(struct disks *disks);

/** disks_find() - Return: the disk of that name that has not ended; NULL */
struct disk *disks_find(const struct disks *disks, const char *name);

#endif
