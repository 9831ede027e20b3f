// SPDX-License-Identifier: GPL-2.0-or-later
#include "backing_conflict.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "log.h"

/* What a path leads to. */
struct place {
	mode_t type; /* 0: nothing that can be served */
	dev_t dev;
	ino_t ino;
};

static struct place find_place(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct place){ 0 };
	if (S_ISBLK(st.st_mode))
		return (struct place){ .type = S_IFBLK, .dev = st.st_rdev };
	if (S_ISREG(st.st_mode))
		return (struct place){ .type = S_IFREG, .dev = st.st_dev, .ino = st.st_ino };
	return (struct place){ 0 };
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->type && a->type == b->type && a->dev == b->dev && a->ino == b->ino;
}

static int refuse(const struct device_config *first, const struct device_config *second)
{
	log_err("%s: %s has the same bytes as [%s] serves from %s; accepted: readonly = yes in "
		"both, or slices (offset, size) that do not overlap",
		second->name, second->path, first->name, first->path);
	return -EBUSY;
}

int backing_conflict_check(const struct config *config)
{
	const struct device_config *devices = config->devices;
	struct place *places = calloc(config->device_count, sizeof(*places));
	int err = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < config->device_count && !err; i++) {
		places[i] = find_place(devices[i].path);
		for (size_t j = 0; j < i && !err; j++)
			if (same_place(&places[i], &places[j]) &&
			    config_slices_collide(&devices[i], &devices[j]))
				err = refuse(&devices[j], &devices[i]);
	}
	free(places);
	return err;
}
