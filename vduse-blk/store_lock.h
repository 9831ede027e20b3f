/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may use a store: the part of store.c that keeps others out, and waits for the dead. */
#ifndef VDUSE_BLK_STORE_LOCK_H
#define VDUSE_BLK_STORE_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"
#include "config.h"
#include "store.h"

/** store_reopen() - open what an O_PATH descriptor stands for. Return: fd; -errno */
int __must_check store_reopen(int path_fd, int flags);

/**
 * store_claim_get() - open a block device exclusively, once for all its slices
 *
 * Any thread; waits for another thread that opens or closes the same device. Return: 0; -EBUSY:
 * another process, a mount, or a disk above has it; other -errno of open(2)
 */
int __must_check store_claim_get(int path_fd, dev_t rdev, struct claim **out);
void store_claim_put(struct claim *claim);

/**
 * store_lock() - lock the bytes that are served, by the descriptors that serve them
 * @successor: a server of this device may have been killed just now, whose I/O has to end first
 *
 * Return: 0; -EBUSY: try again later, or never
 */
int __must_check store_lock(const struct device_config *config, const struct store *store,
			    bool successor);

#endif
