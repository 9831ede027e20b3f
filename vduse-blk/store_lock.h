/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may use a store: the part of store.c that keeps others out, and waits for the dead.
 *
 * A store that is written is locked exclusively, one that is only read is shared. A lock lives as
 * long as its open file, and that as long as I/O on it: a server that gets the lock after another
 * one was killed knows that all I/O of the dead one has ended.
 *
 * Any user who may read a file can hold a read lock on it, and so keep an exclusive lock away. So
 * where only read locks are in the way, this rule decides:
 *
 *   - a process that has the file open for writing refuses the store
 *   - a process of root or of the file's owner that reads refuses it too, but not to the successor
 *     of a killed server, whose disk was written before
 *   - any other reader does not count: the store is served with a read lock, and a warning
 *   - a read lock without a process is I/O of a dead server or belongs to a process that cannot be
 *     seen from here: it refuses, unless the kernel says that nobody has the file open for writing
 */
#ifndef VDUSE_BLK_STORE_LOCK_H
#define VDUSE_BLK_STORE_LOCK_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"
#include "openers.h"
#include "store.h"

/* What is known of the others while a store is tried again and again. */
struct store_rivals {
	bool successor; /* a server of this device may have been killed, whose I/O has to end first */
	enum file_written written; /* just before this process opened it */
	char text[128];		   /* out: who is in the way, as a phrase; empty: not known */
};

/**
 * store_lock() - lock the bytes that are served, by the descriptor that serves them
 *
 * Two system calls. Return: 0; -EBUSY: try again later, or never; other -errno
 */
int __must_check store_lock(const struct device_config *config, const struct store *store,
			    const struct store_rivals *rivals);
/**
 * store_lock_beside() - after -EBUSY: look who is in the way, and lock beside those who do not count
 *
 * Reads tables of all processes. Logs a warning on success.
 *
 * Return: 0; -EBUSY: @rivals tells who; other -errno
 */
int __must_check store_lock_beside(const struct device_config *config, const struct store *store,
				   struct store_rivals *rivals);

#endif
