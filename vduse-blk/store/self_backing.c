// SPDX-License-Identifier: GPL-2.0-or-later
#include "self_backing.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The depth of stacked block devices. Ends the search if they form a circle. */
#define DEPTH_MAX 8

static bool file_lies_on(const struct stat *st, const char *name, int depth);

/* @dir: of a block device in sysfs */
static bool disk_lies_on(const char *dir, const char *name, int depth);

static bool slaves_lie_on(const char *dir, const char *name, int depth)
{
	char slaves[PATH_MAX + 16], slave[2 * PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *stream;

	snprintf(slaves, sizeof(slaves), "%s/slaves", dir);
	stream = opendir(slaves);
	while (stream && !found && (entry = readdir(stream))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(slave, sizeof(slave), "%s/%s", slaves, entry->d_name);
		found = disk_lies_on(slave, name, depth + 1);
	}
	if (stream)
		closedir(stream);
	return found;
}

static bool loop_lies_on(const char *dir, const char *name, int depth)
{
	char path[PATH_MAX + 32], file[PATH_MAX];
	struct stat st;
	bool found;
	FILE *f;

	snprintf(path, sizeof(path), "%s/loop/backing_file", dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	found = fgets(file, sizeof(file), f) != NULL;
	fclose(f);
	if (!found)
		return false;
	file[strcspn(file, "\n")] = 0;
	return stat(file, &st) == 0 && file_lies_on(&st, name, depth + 1);
}

static bool disk_lies_on(const char *dir, const char *name, int depth)
{
	char real[PATH_MAX], part[PATH_MAX];

	if (depth > DEPTH_MAX || !realpath(dir, real))
		return false;
	/* .../devices/virtual/vduse/NAME/NAME/virtio0/block/vda/vda1 */
	snprintf(part, sizeof(part), "/vduse/%s/", name);
	return strstr(real, part) || slaves_lie_on(real, name, depth) ||
	       loop_lies_on(real, name, depth);
}

static bool file_lies_on(const struct stat *st, const char *name, int depth)
{
	dev_t dev = S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev;
	char dir[64];

	snprintf(dir, sizeof(dir), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	return disk_lies_on(dir, name, depth);
}

bool self_backing_lies_on(const struct stat *st, const char *name)
{
	return file_lies_on(st, name, 0);
}
