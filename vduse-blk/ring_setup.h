/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Setting up an io_uring that ends with its process.
 *
 * The rings of an io_uring are usually mapped from its file, and a mapping keeps the file. A thread
 * of a killed server that waits in the kernel for a store keeps all mappings of the process; with
 * them every io_uring, and all that is polled or under way in it: /dev/vduse/NAME stays open, and no
 * other server can adopt any disk. Linux 6.5 takes memory for the rings instead, and then the
 * io_uring is closed with the descriptor table.
 */
#ifndef VDUSE_BLK_RING_SETUP_H
#define VDUSE_BLK_RING_SETUP_H

#include <liburing.h>

#include "compiler.h"

/**
 * ring_setup() - io_uring_queue_init(), with memory of this process where the kernel can
 *
 * Return: 0; -errno
 */
int __must_check ring_setup(struct io_uring *uring, unsigned int entries, unsigned int flags);

#endif
