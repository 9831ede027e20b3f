// SPDX-License-Identifier: GPL-2.0-or-later
#include "threads.h"

#include <check.h>
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

unsigned int threads_named(const char *pattern)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue; /* it has ended */
		if (fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = '\0';
		count += name[0] && !fnmatch(pattern, name, 0);
		fclose(f);
	}
	closedir(dir);
	return count;
}

void other_threads_run(void)
{
	const struct timespec moment = { .tv_nsec = 50000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
}
