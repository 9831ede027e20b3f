/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first step of a takeover (takeover.h): which servers have our disks, and do they agree? */
#ifndef VDUSE_BLK_TAKEOVER_ASK_H
#define VDUSE_BLK_TAKEOVER_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compiler.h"
#include "config.h"

/* A server that agreed. */
struct takeover_agreed {
	int fd; /* of the session; does not block */
	pid_t pid;
	char *names; /* of all its disks, one a line */
};

struct takeover_agreement {
	struct takeover_agreed *servers;
	size_t count;
	bool plain; /* servers of version 0.1.0 have disks, and agree; they know no session */
};

/**
 * takeover_ask() - begin a session with every server that has disks of @config
 * @out: zeroed; takeover_agreement_free() it, whatever comes of this
 *
 * Nothing is released yet. Blocks for some seconds; for a process that serves nothing yet, like the
 * next function. Return: 0, also where there is no such server; -EBUSY: one refuses; -ENOMEM; other
 * -errno: of the directory; logged
 */
int __must_check takeover_ask(const struct config *config, struct takeover_agreement *out);

/**
 * takeover_plain() - where @agreement->plain: have these servers leave, and wait for their end
 *
 * A minute at most. The service manager is told before that this process is the main one, since the
 * one that was may end. Return: 0; -EBUSY: one does not end; logged
 */
int __must_check takeover_plain(const struct config *config);

/** takeover_agreement_free() - also closes the sessions whose descriptors are not -1 */
void takeover_agreement_free(struct takeover_agreement *agreement);

#endif
