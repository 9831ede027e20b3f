// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_access.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Users that are neither root nor the owner. */
struct users {
	const char *name;
	gid_t gid; /* of their group; -1: no group counts */
	bool may_open;
};

static bool bits_allow(const struct stat *st, const struct users *users, mode_t others,
		       mode_t group)
{
	if (users->gid != (gid_t)-1 && st->st_gid == users->gid)
		return st->st_mode & group;
	return st->st_mode & others;
}

/* Looks at each directory of the path, from the last one up to the root. */
static bool may_reach(const char *path, const struct users *users)
{
	char dir[PATH_MAX];
	struct stat st;
	char *slash;

	if (!realpath(path, dir))
		return false;
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		if (stat(slash == dir ? "/" : dir, &st) ||
		    !bits_allow(&st, users, S_IXOTH, S_IXGRP))
			return false;
	}
	return true;
}

void store_access_warn(const struct device_config *config, const struct stat *st)
{
	struct users all[] = {
		{ .name = "any user", .gid = (gid_t)-1 },
		{ .name = "members of its group", .gid = st->st_gid },
	};

	all[0].may_open = st->st_mode & (S_IROTH | S_IWOTH);
	all[1].may_open = S_ISREG(st->st_mode) && st->st_gid && (st->st_mode & (S_IRGRP | S_IWGRP));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (!all[i].may_open || !may_reach(config->path, &all[i]))
			continue;
		log_warn("%s: %s can be opened by %s (its mode is %04o), who can read the disk and "
			 "lock it: chmod go-rw %s",
			 config->name, config->path, all[i].name, st->st_mode & 07777u,
			 config->path);
		return;
	}
}
