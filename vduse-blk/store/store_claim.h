/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Claims: a block device that is open with O_EXCL, which excludes other users of the device. */
#ifndef VDUSE_BLK_STORE_CLAIM_H
#define VDUSE_BLK_STORE_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

struct claim;

/** store_reopen() - open the file that an O_PATH descriptor refers to. Return: fd; -errno */
int __must_check store_reopen(int path_fd, int flags);

/**
 * store_claim_get() - open a block device with O_EXCL, once for all disks on it
 *
 * Any thread; waits while another thread opens or closes the same device. Return: 0; -EBUSY:
 * another process, a mount, or a block device above it (device mapper, MD) has it; other -errno of
 * open(2)
 */
int __must_check store_claim_get(int path_fd, dev_t rdev, struct claim **out);

/** store_claim_put() - a disk is closed; the last one closes the device */
void store_claim_put(struct claim *claim);

/*
 * A task opens the device in its private descriptor table (descriptors.h). The descriptor then moves to
 * the process's table, together with the descriptors of the store. Until store_claim_moved() the claim
 * has one user, and threads that open the same device wait.
 */
bool store_claim_is_moving(const struct claim *claim);
int *store_claim_fd(struct claim *claim);
void store_claim_moved(struct claim *claim);

#endif
