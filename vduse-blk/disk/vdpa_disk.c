// SPDX-License-Identifier: GPL-2.0-or-later
/* Disks on the vdpa bus: their devices stay in the kernel when a server ends, and are adopted. */
#include <errno.h>

#include "adopt.h"
#include "config/front_end.h"
#include "control/ownership.h"
#include "disk_ops.h"
#include "log.h"
#include "orphans.h"
#include "store/store_type.h"
#include "vdpa_bus.h"

/* The time limit for I/O of a killed server to end, for a device that is to be adopted. */
#define STORE_WAIT_MS 30000

static bool has_driver(const struct device_config *config)
{
	return vdpa_bus_state(config->name) != VDPA_ABSENT;
}

static bool may_lock(const struct device_config *config)
{
	return !vduse_dev_exists(config->name);
}

static int open_store(struct device *device, const char *runtime_dir)
{
	const struct device_config *config = device->config;
	unsigned int wait_ms = 0;
	int err = 0;

	if (vduse_dev_exists(config->name)) {
		err = ownership_wait(config->name, runtime_dir);
		wait_ms = STORE_WAIT_MS;
	}
	return err ? err : store_type_of(config)->open(config, wait_ms, &device->backend);
}

/* An attached device can only be adopted unchanged. */
static int check_device(struct device *device, const char *runtime_dir, bool log_growth)
{
	const struct device_config *config = device->config;
	struct inflight *log;
	enum vdpa_driver bus_driver;
	int err;

	if (config->rescue)
		return 0;
	if (!has_driver(config))
		return orphans_check(device, runtime_dir);
	if (!vdpa_bus_driver(config->name, &bus_driver) &&
	    bus_driver != front_end_of(config->driver)->bus_driver) {
		log_err("%s: is attached with driver = %s, and driver was changed to %s; restore it "
			"until the disk is detached",
			config->name, front_end_on_bus(bus_driver)->name,
			front_end_of(config->driver)->name);
		return -EBUSY;
	}
	err = adopt_inflight(device, runtime_dir, log_growth, &log);
	if (!err)
		inflight_close(log, false);
	return err;
}

static int check(struct device *device, const char *runtime_dir)
{
	return check_device(device, runtime_dir, true);
}

static int check_takeover(struct device *device, const char *runtime_dir)
{
	return check_device(device, runtime_dir, false);
}

static int check_stores(struct device *device, const char *runtime_dir)
{
	return vduse_dev_exists(device->config->name) ? 0 : orphans_check(device, runtime_dir);
}

static int open_inflight(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;

	device_inflight_params(device, runtime_dir, identity, &params);
	if (device->config->rescue && !inflight_open_any(&params, &device->inflight)) {
		device->limits.queue_size = params.vq_size;
		return 0;
	}
	if (device->config->rescue || !device_adopted(device))
		return inflight_create(&params, &device->inflight);
	return adopt_inflight(device, runtime_dir, false, &device->inflight);
}

const struct disk_ops vdpa_disk_ops = {
	.open = open_store,
	.check = check,
	.check_takeover = check_takeover,
	.check_stores = check_stores,
	.may_lock = may_lock,
	.has_driver = has_driver,
	.open_inflight = open_inflight,
};
