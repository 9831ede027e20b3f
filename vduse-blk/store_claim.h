/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of store.c that keeps others off a block device: O_EXCL. */
#ifndef VDUSE_BLK_STORE_CLAIM_H
#define VDUSE_BLK_STORE_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

struct claim;

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

/*
 * A claim that a thread with a descriptor table of its own has opened moves to the process's table
 * with the store. Until then it has one user, and other threads wait for it.
 */
bool store_claim_is_moving(const struct claim *claim);
int *store_claim_fd(struct claim *claim);
void store_claim_moved(struct claim *claim);

#endif
