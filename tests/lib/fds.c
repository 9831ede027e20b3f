// SPDX-License-Identifier: GPL-2.0-or-later
#include "fds.h"

#include <check.h>
#include <dirent.h>

unsigned int fds_open(void)
{
	unsigned int count = 0;
	DIR *d = opendir("/proc/self/fd");

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}
