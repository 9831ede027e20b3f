/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blocking system calls on a store, one thin function for each. Tests link a fake.
 *
 * On a store that stalls they may never return, so only threads of that store call them.
 */
#ifndef VDUSE_BLK_STORE_KERN_H
#define VDUSE_BLK_STORE_KERN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/** store_kern_transfer() - preadv() or pwritev(). Return: bytes, at least 0; -errno */
ssize_t store_kern_transfer(bool write, int fd, const struct iovec *iov, uint32_t count,
			    uint64_t offset);

/**
 * store_kern_refuses_nowait() - does the file system refuse RWF_NOWAIT for this file?
 *
 * Linux checks it before it reads anything.
 */
bool store_kern_refuses_nowait(int fd);

/** store_kern_sync() - fdatasync(). Return: 0; -errno */
int store_kern_sync(int fd);

/** store_kern_write_back() - sync_file_range(): write dirty pages, without a flush. Return: 0; -errno */
int store_kern_write_back(int fd, uint64_t offset, uint64_t len);

/** store_kern_allocate() - fallocate(), with FALLOC_FL_KEEP_SIZE. Return: 0; -errno */
int store_kern_allocate(int fd, int mode, uint64_t offset, uint64_t len);

/** store_kern_discard() - BLKDISCARD of a block device. Return: 0; -errno */
int store_kern_discard(int fd, uint64_t offset, uint64_t len);

#endif
