// SPDX-License-Identifier: GPL-2.0-or-later
#include "check_stores.h"

#include <string.h>

#include "frontend/device.h"
#include "disk/backing_conflict.h"
#include "store/store.h"
#include "vduse_dev.h"

/* Does a server have this block device open for another disk? It may share it with this one. */
static bool is_shared(const struct config *config, const struct device_config *device)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *other = &config->devices[i];

		if (!strcmp(other->path, device->path) && vduse_dev_exists(other->name))
			return true;
	}
	return false;
}

static bool check_store(const struct config *config, const struct device_config *device)
{
	if (device_check_store(device, config->runtime_dir))
		return false;
	return is_shared(config, device) || !store_try_claim(device);
}

bool check_stores(const struct config *config)
{
	bool right = !backing_conflict_check(config);

	for (size_t i = 0; i < config->device_count; i++)
		right &= check_store(config, &config->devices[i]);
	return right;
}
