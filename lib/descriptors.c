// SPDX-License-Identifier: GPL-2.0-or-later
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/resource.h>
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

/*
 * May descriptors be fetched after the table was left? pidfd_getfd() takes them from the table of the
 * main thread. A sandbox may refuse it. A number above the limit of open files cannot be used again.
 */
static bool can_fetch(int highest)
{
	struct rlimit limit;

	return gettid() != getpid() && descriptors_fetch(INT_MAX) == -EBADF &&
	       !getrlimit(RLIMIT_NOFILE, &limit) && highest < (long long)limit.rlim_cur;
}

/* Copies @fd of the process into this thread's table, with the same number. Return: 0; -errno */
static int fetch_as(int fd)
{
	int own = descriptors_fetch(fd), err = 0;

	if (own < 0 || own == fd)
		return MIN(own, 0);
	if (dup3(own, fd, O_CLOEXEC) < 0)
		err = -errno;
	close(own);
	return err;
}

/* Nothing but the standard descriptors is copied and closed again: close() may block. */
static int leave_and_fetch(const int *keep, unsigned int count)
{
	int err = close_between(STDERR_FILENO + 1, ~0u);

	for (unsigned int i = 0; i < count && !err; i++)
		if (keep[i] > STDERR_FILENO)
			err = fetch_as(keep[i]);
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
	if (can_fetch(count ? keep[count - 1] : 0))
		return leave_and_fetch(keep, count);
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
