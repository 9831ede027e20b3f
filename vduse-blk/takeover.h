/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new server in the place of a running one, under disks that are in use.
 *
 * The old one stops taking requests, ends those in flight or leaves them in its record, closes
 * everything and ends; nothing is detached. The new one then finds the devices as after a crash.
 */
#ifndef VDUSE_BLK_TAKEOVER_H
#define VDUSE_BLK_TAKEOVER_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"

/* The questions, each with names behind it, one a line: would you, and do. */
#define TAKEOVER_ASK	 "may-leave\n"
#define TAKEOVER_LEAVE	 "leave\n"
#define TAKEOVER_LEAVING "leaving"

/** takeover_names() - is @name one of the lines of @names? */
bool takeover_names(const char *names, const char *name);

/**
 * takeover() - have every server that serves devices of @config leave, and wait for its end
 *
 * All are asked first, so that none leaves where another cannot.
 *
 * Return: 0, also where there is none; -EBUSY: one serves others too, or does not end; -EINTR: a
 * signal came before any was asked to leave; logged
 */
int __must_check takeover(const struct config *config);

#endif
