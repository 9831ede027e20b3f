/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of all disks of a server. Main thread.
 *
 * Each disk is independent (disk.h): it can be added and can end at any time. New disks are attached in
 * the order in which they were added, so that /dev/vdX is the same at each start. The list also detects
 * when the start has ended, and when all disks have ended.
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
	/* Set by the caller before disks_start(), or NULL. */
	void *watcher; /* for the two functions */
	/** @watch: the state of @disk has changed */
	void (*watch)(struct disks *disks, struct disk *disk);
	/** @start_ended: the start has ended. Return: should the service manager be notified? */
	bool (*start_ended)(struct disks *disks);

	struct list all;  /* struct disk, in the order in which they are attached */
	size_t remaining; /* disks that have not ended: serve until it is 0 */
	size_t ended;	  /* disks in @all that have ended and are not freed yet */
	bool started;	  /* each disk is served, has failed, or takes too long */
};

/** disks_for_each() - for each disk of @disks, including GONE ones. The body may end the disk */
#define disks_for_each(one, disks) list_for_each_entry (one, &(disks)->all, struct disk, node)

/** disks_init() - make the list empty */
void disks_init(struct disks *disks);

/**
 * disks_add() - add a disk at the end of the list; start it with disk_start()
 * @config: this function copies it
 * @out:    may be NULL
 *
 * Return: 0; -EEXIST: there is a disk of that name; -ESHUTDOWN: the server ends; -ENOMEM
 */
int __must_check disks_add(struct disks *disks, const struct device_config *config,
			   struct disk **out);

/** disks_add_all() - add a disk for each section of host.config. Return: as disks_add() */
int __must_check disks_add_all(struct disks *disks);

/** disks_reap() - free disks that have ended. Call it between two calls of ring_run() */
void disks_reap(struct disks *disks);

/** disks_exit() - free everything. Call it when the ring is not run any more */
void disks_exit(struct disks *disks);

/** disks_hold() - another server has disk @name: disks_start() waits for disk_released() */
void disks_hold(struct disks *disks, const char *name);

/**
 * disks_start() - open all stores, create or adopt the devices, attach them
 *
 * Prints "NAME /dev/NODE" on standard output when a disk becomes usable. A disk that fails is tried
 * again. The start ends when each disk is attached, has failed, or takes too long: then the
 * service manager is notified. If every disk has failed, all of them end.
 */
void disks_start(struct disks *disks);

/**
 * disks_stop() - detach all disks; for disks in use, log their users, and retry until they are not in use
 * @force: also detach disks in use
 */
void disks_stop(struct disks *disks, bool force);

/** disks_leave() - stop serving, and leave everything in the kernel as it is */
void disks_leave(struct disks *disks);

/** disks_find() - Return: the disk of that name, unless it has ended; NULL */
struct disk *disks_find(const struct disks *disks, const char *name);

#endif
