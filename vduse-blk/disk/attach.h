/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocking calls on the vdpa bus: add a device, bind and unbind its driver, flush its disk.
 *
 * They wait for replies to control messages and for I/O that this process serves, so neither the
 * main thread nor a worker may make them. Each job is a task: a disk that stalls does not delay
 * others.
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
	ADOPT,	       /* find the node of a device that is on the bus already; bind it where it is
			* unbound; -ESTALE: it was removed from the bus */
	DETACH_UNUSED, /* flush, unbind, remove; -EBUSY where the node is in use */
	DETACH_FORCE,  /* the same although it is in use; -EBUSY where a VM has it open: unbind
			* would block */
};

struct attach_job {
	enum attach_verb verb;
	const char *name;
	enum vdpa_driver driver;
	char node[VDPA_NODE_MAX]; /* out: as it is now */

	/* 0 or -errno; -EINPROGRESS: another process is unbinding or removing it; not logged */
	int result;
	char error[LOG_CAPTURE_MAX]; /* of ATTACH and ADOPT: the error text, not logged, or "" */
	char users[256];	     /* of the node, after -EBUSY */
	void (*finished)(struct attach_job *job); /* on the ring's thread */

	struct task task;
};

/**
 * attach_submit() - start a job. The caller must not touch it before @finished is called
 * @ring: of the calling thread
 *
 * Jobs of several disks run at the same time. Where the thread cannot be started, calls @finished
 * before it returns, with the error, which is logged.
 */
void attach_submit(struct attach_job *job, struct ring *ring);

#endif
