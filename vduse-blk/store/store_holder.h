/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The holder of a slow store: a thread whose descriptor table has the descriptors of that store. The
 * threads of the store share this table, and the table of the process does not have them.
 *
 * A slow store is a file whose file system refuses RWF_NOWAIT, as NFS and FUSE do. No worker can use such
 * a file, only threads of the store can. And close() of such a file waits for the file server. If the
 * process had the descriptors in its table, and were killed while the file server stalls, the kernel would
 * wait in the first close(), and all later descriptors of the table would stay open: other disks with
 * their locks too.
 */
#ifndef VDUSE_BLK_STORE_HOLDER_H
#define VDUSE_BLK_STORE_HOLDER_H

#include "compiler.h"
#include "thread_starter.h"

#define STORE_HOLDER_MAX 8

struct store_holder;

/**
 * store_holder_new() - move descriptors from the private table of the calling thread to a new table
 * @fds: their numbers, which stay the same; -1 entries are ignored
 *
 * The caller's copies are closed, which may block. Return: 0; -ENOTSUP: the calling thread shares the
 * table of the process, or pidfd_getfd() does not work; other -errno; nothing was moved
 */
int __must_check store_holder_new(int *const *fds, unsigned int count, struct store_holder **out);

/** store_holder_free() - close the descriptors; may block for ever. No thread of the store may exist */
void store_holder_free(struct store_holder *holder);

/** store_holder_starter() - starts threads that share the table */
struct thread_starter *store_holder_starter(struct store_holder *holder);

#endif
