/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel calls that block: adding a device to the vdpa bus, binding, unbinding, flushing a disk.
 *
 * They wait for our own replies to control messages and for our own I/O, so neither the main thread
 * nor a worker may make them. Each job is a task: a disk that stalls holds up no other disk.
 */
#ifndef VDUSE_BLK_ATTACH_H
#define VDUSE_BLK_ATTACH_H

#include "compiler.h"
#include "log.h"
#include "ring.h"
#include "task.h"
#include "vdpa_bus.h"

enum attach_verb {
	ATTACH,	       /* add, bind, wait for the node */
	ADOPT,	       /* find the node of what an earlier server attached; bind if it did not;
			* -ESTALE: somebody has removed it from the bus */
	DETACH_UNUSED, /* flush, unbind, delete; -EBUSY where somebody uses the node */
	DETACH_FORCE,  /* the same, whoever uses it; -EBUSY where a VM holds it: it would block */
};

struct attach_job {
	enum attach_verb verb;
	const char *name;
	enum vdpa_driver driver;
	char node[VDPA_NODE_MAX]; /* out: as it is now */

	/* 0 or -errno; -EINPROGRESS: somebody else is unbinding or removing it; not logged */
	int result;
	char error
		[LOG_CAPTURE_MAX]; /* of ATTACH and ADOPT: why, for people; not logged. May be empty */
	char users[256];	   /* of the node, after -EBUSY */
	void (*finished)(struct attach_job *job); /* on the ring's thread */

	struct task task;
};

/**
 * attach_submit() - have a job done; it is the caller's again when @finished is called
 * @ring: of the calling thread
 *
 * Jobs of several disks run at the same time. Where no thread can be had @finished is called at once,
 * with the error, which is logged.
 */
void attach_submit(struct attach_job *job, struct ring *ring);

#endif
