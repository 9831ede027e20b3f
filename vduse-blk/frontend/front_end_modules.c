// SPDX-License-Identifier: GPL-2.0-or-later
#include "front_end_modules.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "config/front_end.h"
#include "modules.h"
#include "vdpa_bus.h"

static int load_vduse(enum exit_status *status)
{
	int err;

	if (access("/dev/vduse/control", F_OK) == 0)
		return 0;
	err = module_load("vduse");
	if (err == -ENOENT)
		*status = EXIT_NO_VDUSE;
	return err;
}

static int load_driver(enum driver driver)
{
	const struct front_end *front_end = front_end_of(driver);
	int err = 0;

	if (!front_end->vdpa)
		return 0;
	if (!vdpa_driver_present(front_end->bus_driver))
		err = module_load(vdpa_driver_name(front_end->bus_driver));
	if (!err && front_end->client && access(front_end->client_path, F_OK))
		err = module_load(front_end->client);
	return err;
}

static bool any_on_vdpa_bus(const struct config *config)
{
	for (size_t i = 0; i < config->device_count; i++)
		if (front_end_of(config->devices[i].driver)->vdpa)
			return true;
	return false;
}

int front_end_load_modules(const struct config *config, enum exit_status *status)
{
	int err;

	*status = EXIT_RUNTIME;
	err = any_on_vdpa_bus(config) ? load_vduse(status) : 0;
	for (size_t i = 0; i < config->device_count && !err; i++)
		err = load_driver(config->devices[i].driver);
	return err;
}
