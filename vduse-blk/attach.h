/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread for kernel calls that block: adding a device to the vdpa bus, binding, unbinding.
 *
 * They wait for our own answers to control messages and for our own I/O, so they must be made by
 * neither the main thread nor a worker. Jobs are done one after the other, in order.
 */
#ifndef VDUSE_BLK_ATTACH_H
#define VDUSE_BLK_ATTACH_H

#include <pthread.h>
#include <stdbool.h>

#include "compiler.h"
#include "ring.h"
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
	char users[256];			  /* of the node, after -EBUSY */
	void (*finished)(struct attach_job *job); /* on the main thread */

	struct attach_job *next;
	struct ring_message message;
};

struct attach {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct attach_job *first;
	struct attach_job **last;
	bool stopping;
	struct ring *main_ring;
};

/** attach_start() - start the thread; @attach is zeroed. Return: 0; -errno, logged */
int __must_check attach_start(struct attach *attach, struct ring *main_ring);

/** attach_submit() - have a job done; it is the caller's again when @finished is called */
void attach_submit(struct attach *attach, struct attach_job *job);

/** attach_stop() - end the thread; no job may be under way */
void attach_stop(struct attach *attach);

#endif
