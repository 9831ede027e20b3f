/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces vduse-blk/store/store_kern.c: a test can watch each call, hold it, and change its result. */
#ifndef TESTS_FAKE_STORE_KERN_H
#define TESTS_FAKE_STORE_KERN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum store_call_what {
	STORE_CALL_READ,
	STORE_CALL_WRITE,
	STORE_CALL_SYNC,
	STORE_CALL_WRITE_BACK,
	STORE_CALL_ALLOCATE,
	STORE_CALL_DISCARD,
};

struct store_call {
	enum store_call_what what;
	int fd; /* of the thread that calls */
	int mode;
	const struct iovec *iov;
	uint32_t count;
	uint64_t offset, len;
};

/**
 * fake_store_watch() - while nothing is under way: who is told of each call from now on
 * @before: may wait; NULL: nobody
 * @after:  returns what the caller gets instead of @res; NULL: nobody
 *
 * Both on the thread that calls.
 */
void fake_store_watch(void (*before)(const struct store_call *call),
		      int (*after)(const struct store_call *call, int res));

/** fake_store_refuse_nowait() - stores that are opened from now on are slow ones, as on NFS and FUSE */
void fake_store_refuse_nowait(bool refuse);

#endif
