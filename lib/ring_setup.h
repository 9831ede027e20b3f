/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets up an io_uring that is closed when its process closes its descriptors.
 *
 * Usually the rings of an io_uring are mapped from its file, and the mapping keeps the file open. A
 * thread of a killed server that waits in the kernel for a store keeps all mappings of the process,
 * and with them every io_uring and all files that it polls or has operations on: /dev/vduse/NAME
 * stays open, and no other server can adopt any disk. With IORING_SETUP_NO_MMAP (Linux 6.5) the
 * rings are in ordinary memory of the process, and the io_uring is closed with the descriptor
 * table.
 */
#ifndef LIB_RING_SETUP_H
#define LIB_RING_SETUP_H

#include <liburing.h>

#include "compiler.h"

/**
 * ring_setup() - as io_uring_queue_init(), with IORING_SETUP_NO_MMAP where the kernel has it
 *
 * Return: 0; -errno
 */
int __must_check ring_setup(struct io_uring *uring, unsigned int entries, unsigned int flags);

#endif
