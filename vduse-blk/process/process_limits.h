/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of the server's process in the kernel. Main thread, before any other thread starts. */
#ifndef VDUSE_BLK_PROCESS_LIMITS_H
#define VDUSE_BLK_PROCESS_LIMITS_H

/**
 * process_raise_limits() - RLIMIT_NOFILE to at least @descriptors, RLIMIT_MEMLOCK to no limit
 *
 * The kernel counts UMEM and registered buffers against RLIMIT_MEMLOCK, for root too. Warns where
 * there are too few descriptors.
 */
void process_raise_limits(unsigned long descriptors);

/**
 * process_lock_memory() - no page of the process is swapped out, and its allocations start no I/O
 *
 * A thread that serves a request must not wait for memory that is on a disk: that may be the disk
 * that it serves.
 */
void process_lock_memory(void);

/**
 * process_forbid_core_dump() - unless RLIMIT_CORE is above 0
 *
 * A process that dumps core keeps its disks until the dump is written. A dump to one of these disks
 * waits for the next server, and the next server waits for the end of the dump. A handler in
 * core_pattern runs even when RLIMIT_CORE is 0, so the process is made not dumpable (prctl(2)).
 */
void process_forbid_core_dump(void);

#endif
