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
 * For the calling thread. Does not block, unless pidfd_getfd() does not work: then descriptors are copied
 * and closed again, and close() waits for the file system (FUSE, NFS) of a stalled store.
 *
 * Return: 0; -ENOTSUP: a build with the thread sanitizer; other -errno. After a failure the table is
 * still shared, or only some descriptors are closed
 */
int descriptors_isolate(int *keep, unsigned int count);

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
