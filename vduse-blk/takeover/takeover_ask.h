/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first step of a takeover (takeover.h): begins sessions with the servers that have the disks. */
#ifndef VDUSE_BLK_TAKEOVER_ASK_H
#define VDUSE_BLK_TAKEOVER_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compiler.h"
#include "config/config.h"

/* A server that agreed to be taken over. */
struct takeover_agreed {
	int fd; /* of the session; does not block */
	pid_t pid;
	char *names; /* of all its disks, one on each line */
};

struct takeover_agreement {
	struct takeover_agreed *servers;
	size_t count;
	bool without_session; /* servers of version 0.1.0, which have no session, have disks and agree */
};

/**
 * takeover_ask() - begin a session with every server that has disks of @config
 * @out: zeroed; the caller calls takeover_agreement_free(), also after an error
 *
 * The servers release no disk yet. Blocks for some seconds: call it, and takeover_without_session(), before
 * this process serves a disk. Return: 0, also if no server has a disk of @config; -EBUSY: a
 * server refuses; -ENOMEM; other -errno: the directory cannot be read; logged
 */
int __must_check takeover_ask(const struct config *config, struct takeover_agreement *out);

/**
 * takeover_without_session() - if @agreement->without_session: make these servers leave their disks, and wait for their end
 *
 * Waits for a minute at most. First tells the service manager that this process is the main
 * process, since the old main process may end. Return: 0; -EBUSY: a server does not end; logged
 */
int __must_check takeover_without_session(const struct config *config);

/** takeover_agreement_free() - free it, and close the sessions whose descriptors are not -1 */
void takeover_agreement_free(struct takeover_agreement *agreement);

#endif
