/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A private descriptor table for a thread that may block in the kernel for ever.
 *
 * Threads share one table by default. When the process is killed while one thread sleeps
 * uninterruptibly, that thread keeps all files of the table open: every store and every
 * /dev/vduse/NAME of the process stays busy, and no other server can serve them. A thread with a
 * private table keeps only the files in that table open.
 */
#ifndef LIB_DESCRIPTORS_H
#define LIB_DESCRIPTORS_H

#include <stdbool.h>

#include "compiler.h"

/**
 * descriptors_isolate() - leave the shared table; keep standard input, output, error and @keep
 * @keep:  sorted by this function; -1 entries are ignored
 * @count: of @keep
 *
 * For the calling thread. Descriptors are copied and closed again, and close() of a copy waits for the
 * file system where a store on FUSE or NFS has stalled: see task_starter.h.
 *
 * Return: 0; -ENOTSUP: a build with the thread sanitizer; other -errno. After a failure the table is
 * still shared, or only some descriptors are closed
 */
int descriptors_isolate(int *keep, unsigned int count);

/**
 * descriptors_leave() - leave the shared table; keep standard input, output and error
 *
 * For a thread whose table has no others that matter: Linux copies the first 64 numbers of a table even
 * where they are to be closed. Return: 0; -errno
 */
int descriptors_leave(void);

/**
 * descriptors_fetch() - copy a descriptor of the process into the calling thread's private table
 *
 * Return: the copy; -EBADF: there is no such descriptor; other -errno of pidfd_getfd(): a sandbox may
 * refuse it, and Linux before 5.6 does not have it
 */
int descriptors_fetch(int fd);

/** descriptors_isolated() - does the calling thread have a private table? */
bool descriptors_isolated(void);

#endif
