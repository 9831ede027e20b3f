// SPDX-License-Identifier: GPL-2.0-or-later
#include "check_stores.h"

#include <string.h>

#include "config/config_path.h"
#include "disk/disk_device.h"
#include "disk/backing_conflict.h"
#include "store/store_type.h"
#include "vduse_dev.h"

/* May a server have the block device open for another disk of this file? That is no conflict. */
static bool is_shared(const struct config *config, const struct device_config *device)
{
	const char *file = config_path_file(device->path);

	for (size_t i = 0; i < config->device_count; i++) {
		const char *other = config_path_file(config->devices[i].path);

		if (file && other && !strcmp(other, file) &&
		    vduse_dev_exists(config->devices[i].name))
			return true;
	}
	return false;
}

static bool check_store(const struct config *config, const struct device_config *device)
{
	int (*check_use)(const struct device_config *device, bool shared) =
		store_type_of(device)->check_use;

	if (device_check_store(device, config->runtime_dir))
		return false;
	return !check_use || !check_use(device, is_shared(config, device));
}

bool check_stores(const struct config *config)
{
	bool right = !backing_conflict_check(config);

	for (size_t i = 0; i < config->device_count; i++)
		right &= check_store(config, &config->devices[i]);
	return right;
}
