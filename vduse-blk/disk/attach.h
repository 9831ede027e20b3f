/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocking calls on the vdpa bus: add a device, bind and unbind its driver, flush its disk.
 *
 * They wait for replies to control messages and for I/O, both from this process. So neither the
 * main thread nor a worker may make them. Each job is a task: a stalled disk does not delay other
 * disks.
 */
#ifndef VDUSE_BLK_ATTACH_H
#define VDUSE_BLK_ATTACH_H

#include "compiler.h"
#include "config/front_end.h"
#include "log.h"
#include "ring.h"
#include "task.h"
#include "vdpa_bus.h"
#include "vhost_user_listener.h"

/* The path of a node or of a socket. */
#define ATTACH_NODE_MAX MAX(VDPA_NODE_MAX, VHOST_USER_PATH_MAX)

enum attach_verb {
	ATTACH,	       /* add, bind, wait for the node */
	ADOPT,	       /* bind a device that is on the bus, if it is unbound; wait for the node;
			* -ESTALE: it is not on the bus any more */
	DETACH_UNUSED, /* flush, unbind, remove; -EBUSY: the node is in use */
	DETACH_FORCE,  /* as DETACH_UNUSED, but of a node in use too; -EBUSY: a virtual machine has
			* the node open, and unbind would block */
};

struct attach_job {
	enum attach_verb verb;
	const char *name;
	enum driver driver;
	struct vhost_user_listener
		*listener;	    /* of a disk with a socket; NULL: it is on the vdpa bus */
	pid_t front_end;	    /* the process that is connected to the socket; 0: none */
	char node[ATTACH_NODE_MAX]; /* out: its node, or the path of its socket */

	/* 0 or -errno; -EINPROGRESS: another process is unbinding or removing it; not logged */
	int result;
	char error[LOG_CAPTURE_MAX]; /* of ATTACH and ADOPT: the error text, not logged, or "" */
	char users[256];	     /* after -EBUSY: the users of the node */
	void (*finished)(struct attach_job *job); /* called on the ring's thread */

	struct task task;
};

/**
 * attach_submit() - start a job. The caller must not touch it before @finished is called
 * @ring: of the calling thread
 *
 * Jobs of several disks run at the same time. If the thread cannot be started, that is logged, and
 * @finished is called before the function returns, with the error in @job->result.
 */
void attach_submit(struct attach_job *job, struct ring *ring);

#endif
