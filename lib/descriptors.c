// SPDX-License-Identifier: GPL-2.0-or-later
#include "descriptors.h"

#include <errno.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread bool isolated;

bool descriptors_isolated(void)
{
	return isolated;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int close_between(unsigned int first, unsigned int last)
{
	if (first > last)
		return 0;
	return close_range(first, last, CLOSE_RANGE_UNSHARE) ? -errno : 0;
}

int descriptors_fetch(int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), own;

	if (pidfd < 0)
		return -errno;
	own = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (own < 0)
		own = -errno;
	close_range((unsigned int)pidfd, (unsigned int)pidfd, 0);
	return own;
}

int descriptors_leave(void)
{
	int err = close_between(STDERR_FILENO + 1, ~0u);

	isolated = !err;
	return err;
}

int descriptors_isolate(int *keep, unsigned int count)
{
	unsigned int next = STDERR_FILENO + 1;
	int err;

#ifdef __SANITIZE_THREAD__
	return -ENOTSUP; /* the sanitizer does not know that equal numbers are different files */
#endif
	qsort(keep, count, sizeof(*keep), compare);
	for (unsigned int i = 0; i < count; i++) {
		if (keep[i] < (int)next)
			continue;
		err = close_between(next, (unsigned int)keep[i] - 1);
		if (err)
			return err;
		next = (unsigned int)keep[i] + 1;
	}
	err = close_between(next, ~0u);
	isolated = !err;
	return err;
}
