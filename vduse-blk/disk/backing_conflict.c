// SPDX-License-Identifier: GPL-2.0-or-later
#include "backing_conflict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store/store_type.h"

static int refuse(const struct device_config *first, const struct device_config *second)
{
	log_err("%s: %s shares bytes with disk %s (%s); accepted: readonly = yes in both, or "
		"extents (offset, size) that do not overlap",
		second->name, second->path, first->name, first->path);
	return -EBUSY;
}

int backing_conflict_check(const struct config *config)
{
	const struct device_config *devices = config->devices;
	char(*identities)[BACKEND_IDENTITY_MAX] = calloc(config->device_count, sizeof(*identities));
	int err = 0;

	if (!identities)
		return -ENOMEM;
	for (size_t i = 0; i < config->device_count && !err; i++) {
		store_identify(&devices[i], identities[i]);
		for (size_t j = 0; j < i && identities[i][0] && !err; j++)
			if (!strcmp(identities[i], identities[j]) &&
			    config_extents_conflict(&devices[i], &devices[j]))
				err = refuse(&devices[j], &devices[i]);
	}
	free(identities);
	return err;
}
