/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All disks of a server: their way into the kernel, onto the bus, and back. Main thread.
 *
 * A disk is opened, created, attached; on the way back detached, closed, destroyed; each step after
 * the one before has ended. Those are attached one after the other, and sent away all at once.
 */
#ifndef VDUSE_BLK_DISKS_H
#define VDUSE_BLK_DISKS_H

#include <stdbool.h>
#include <stdio.h>

#include "attach.h"
#include "compiler.h"
#include "config.h"
#include "device.h"
#include "ring.h"
#include "worker.h"

enum disk_state {
	DISK_STORE_OPEN, /* nothing in the kernel */
	DISK_CREATED,	 /* a VDUSE device, not on the bus */
	DISK_ATTACHING,
	DISK_ATTACHED,
	DISK_DETACHING,
	DISK_BUSY, /* should go, but somebody uses it */
	DISK_CLOSING,
	DISK_GONE,
};

struct disk {
	struct disks *disks;
	struct device device;
	struct attach_job job;
	enum disk_state state;
	unsigned int busy_looks;
	bool said_removal;
	bool inherited; /* an earlier server attached it, and a driver had it when this one came */
	bool left; /* it stays in the kernel when we go: a VM holds it, or another server comes */
	bool anew; /* to be made again when it is closed: somebody took it off the bus */
};

struct disks {
	/* Set by the caller before disks_start(). */
	struct ring *ring;
	struct attach attach;

	const struct config *config;
	struct disk *all;
	size_t count; /* with an open store */
	size_t attached;
	size_t remaining; /* not gone yet: serve until it is 0 */
	struct worker *workers;
	unsigned int worker_count;
	unsigned int next_worker; /* for the next queue */
	struct ring_timer busy_retry;
	struct ring_timer attach_retry;
	bool stopping;
	bool forced;  /* disks in use are taken away too */
	bool leaving; /* not detached: another server goes on with what there is */
	bool failed;  /* something went wrong that was logged */
};

/** disks_open() - open all stores; nothing exists in the kernel yet. Return: 0; -errno, logged */
int __must_check disks_open(struct disks *disks, const struct config *config);

/**
 * disks_examine() - could the disks be opened and gone on with, once their server has left?
 *
 * Return: 0; -errno, logged
 */
int __must_check disks_examine(const struct config *config);

/** disks_close() - after disks_open() has been called, whatever came of it, at the very end */
void disks_close(struct disks *disks);

/**
 * disks_start() - create the devices, or adopt them, and begin to attach them
 *
 * Prints "NAME /dev/NODE" on standard output as each becomes usable, and tells systemd when all
 * are. After a failure those that an earlier server attached are left as with disks_leave(), and
 * the others go as with disks_stop().
 */
void disks_start(struct disks *disks, struct worker *workers, unsigned int worker_count);

/**
 * disks_stop() - detach what is not used by anybody; what is used is said, and looked at again
 * @force: detach even so, now and later
 */
void disks_stop(struct disks *disks, bool force);

/** disks_leave() - stop serving, and leave everything in the kernel as it is */
void disks_leave(struct disks *disks);

/**
 * disks_answer() - answer a question that came through the control socket
 *
 * Return: false: an error. Either way @to has a text
 */
bool disks_answer(struct disks *disks, const char *question, FILE *to);

#endif
