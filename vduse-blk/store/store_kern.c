// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_kern.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

ssize_t store_kern_transfer(bool write, int fd, const struct iovec *iov, uint32_t count,
			    uint64_t offset)
{
	ssize_t n = write ? pwritev(fd, iov, (int)count, (off_t)offset)
			  : preadv(fd, iov, (int)count, (off_t)offset);

	return n < 0 ? -errno : n;
}

bool store_kern_refuses_nowait(int fd)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP;
}

int store_kern_sync(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

int store_kern_write_back(int fd, uint64_t offset, uint64_t len)
{
	unsigned int flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER;

	return sync_file_range(fd, (off_t)offset, (off_t)len, flags) ? -errno : 0;
}

int store_kern_allocate(int fd, int mode, uint64_t offset, uint64_t len)
{
	return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) ? -errno : 0;
}

int store_kern_discard(int fd, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };

	return ioctl(fd, BLKDISCARD, range) ? -errno : 0;
}
