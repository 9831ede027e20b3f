// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_store_kern.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "compiler.h"
#include "store/store_kern.h"

/* Atomic: threads of a store may be between two calls. */
static void (*watch_before)(const struct store_call *call);
static int (*watch_after)(const struct store_call *call, int res);

void fake_store_watch(void (*before)(const struct store_call *call),
		      int (*after)(const struct store_call *call, int res))
{
	store_release(&watch_before, before);
	store_release(&watch_after, after);
}

static int do_call(const struct store_call *call)
{
	uint64_t range[2] = { call->offset, call->len };
	off_t offset = (off_t)call->offset, len = (off_t)call->len;
	ssize_t n = -1;

	switch (call->what) {
	case STORE_CALL_READ:
		n = preadv(call->fd, call->iov, (int)call->count, offset);
		break;
	case STORE_CALL_WRITE:
		n = pwritev(call->fd, call->iov, (int)call->count, offset);
		break;
	case STORE_CALL_SYNC:
		n = fdatasync(call->fd);
		break;
	case STORE_CALL_WRITE_BACK:
		n = sync_file_range(call->fd, offset, len,
				    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER);
		break;
	case STORE_CALL_ALLOCATE:
		n = fallocate(call->fd, call->mode | FALLOC_FL_KEEP_SIZE, offset, len);
		break;
	case STORE_CALL_DISCARD:
		n = ioctl(call->fd, BLKDISCARD, range);
		break;
	}
	return n < 0 ? -errno : (int)n;
}

static int call_kernel(struct store_call call)
{
	void (*before)(const struct store_call *call) = load_acquire(&watch_before);
	int (*after)(const struct store_call *call, int res);
	int res;

	if (before)
		before(&call);
	res = do_call(&call);
	after = load_acquire(&watch_after);
	return after ? after(&call, res) : res;
}

ssize_t store_kern_transfer(bool write, int fd, const struct iovec *iov, uint32_t count,
			    uint64_t offset)
{
	return call_kernel((struct store_call){
		.what = write ? STORE_CALL_WRITE : STORE_CALL_READ,
		.fd = fd,
		.iov = iov,
		.count = count,
		.offset = offset,
	});
}

static bool refuses_nowait;

void fake_store_refuse_nowait(bool refuse)
{
	refuses_nowait = refuse;
}

bool store_kern_refuses_nowait(int fd)
{
	(void)fd;
	return refuses_nowait;
}

int store_kern_sync(int fd)
{
	return call_kernel((struct store_call){ .what = STORE_CALL_SYNC, .fd = fd });
}

int store_kern_write_back(int fd, uint64_t offset, uint64_t len)
{
	return call_kernel((struct store_call){
		.what = STORE_CALL_WRITE_BACK, .fd = fd, .offset = offset, .len = len });
}

int store_kern_allocate(int fd, int mode, uint64_t offset, uint64_t len)
{
	return call_kernel((struct store_call){ .what = STORE_CALL_ALLOCATE,
						.fd = fd,
						.mode = mode,
						.offset = offset,
						.len = len });
}

int store_kern_discard(int fd, uint64_t offset, uint64_t len)
{
	return call_kernel((struct store_call){
		.what = STORE_CALL_DISCARD, .fd = fd, .offset = offset, .len = len });
}
