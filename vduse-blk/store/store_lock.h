/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks on a store. They exclude other users, and show when the I/O of a killed server has ended.
 *
 * A store that is written gets a write lock, a store that is only read gets a read lock. A lock
 * exists as long as its open file, and the open file as long as I/O on it: when a server gets the
 * lock after another one was killed, all I/O of the killed server has ended.
 *
 * Every user who may read a file can hold a read lock on it, and so prevent a write lock. If only read
 * locks prevent the write lock, this rule decides whether the store is served nevertheless, with a
 * read lock and a warning:
 *
 *   - It is not served if a holder of a lock has the file open for writing.
 *   - It is not served if a holder only reads and belongs to root or to the file's owner. The
 *     successor of a killed server does serve it: that disk was written before.
 *   - It is served if all holders only read and belong to other users.
 *   - A read lock without a visible process belongs to I/O of a killed server, or to a process in
 *     another PID namespace. The store is not served, unless a read lease shows that no process has
 *     the file open for writing.
 */
#ifndef VDUSE_BLK_STORE_LOCK_H
#define VDUSE_BLK_STORE_LOCK_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"
#include "openers.h"
#include "host_file.h"

/* Other users of the store, while a server tries again and again to lock it. */
struct store_rivals {
	bool successor; /* a server of this device may have been killed: its I/O must end first */
	enum file_written written; /* examined just before this process opened the file */
	char text[192]; /* out: the process that prevents the lock, as a phrase; empty: not known */
};

/**
 * store_lock() - lock the bytes of the disk, with the descriptor that is used for I/O
 *
 * Return: 0; -EBUSY: another open file holds a lock; other -errno
 */
int __must_check store_lock(const struct device_config *config, const struct host_file *file,
			    const struct store_rivals *rivals);
/**
 * store_lock_shared() - after -EBUSY: apply the rule above; if it permits, take a read lock
 *
 * Reads /proc of all processes. Logs a warning on success.
 *
 * Return: 0; -EBUSY: @rivals->text names the process; other -errno
 */
int __must_check store_lock_shared(const struct device_config *config, const struct host_file *file,
				   struct store_rivals *rivals);

#endif
