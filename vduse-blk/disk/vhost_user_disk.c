// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vhost-user disks: nothing of them stays in the kernel. The front end keeps the inflight log, and opens the
 * store when it starts its rings (frontend/vhost_user_store.c).
 *
 * What a connected front end was offered is written down in a file like an inflight log, the offer. In a
 * takeover, a front end that connects again must find the same features and queues.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "control/ownership.h"
#include "disk_ops.h"
#include "frontend/vhost_user_device.h"
#include "log.h"
#include "orphans.h"
#include "store/closed_store.h"

/*
 * A VMM makes the queues, often with 128 descriptors, and a chain of a driver without indirect
 * descriptors must fit into its queue. The VMM may switch the write cache off; VDUSE cannot pass that
 * on.
 */
static void set_limits(struct blk_limits *limits)
{
	limits->seg_max = MIN(limits->queue_size, 128) - 2u;
	limits->guest_physical = true;
	limits->config_wce = true;
}

static int open_store(struct device *device, const char *runtime_dir)
{
	const struct device_config *config = device->config;
	int err = ownership_wait_name(config->name, runtime_dir);

	return err ? err : closed_store_new(config, &device->backend);
}

/* The store is locked while a front end uses it, and then no other server may look. */
static bool may_lock(const struct device_config *config)
{
	(void)config;
	return false;
}

static bool has_driver(const struct device_config *config)
{
	(void)config;
	return false;
}

static int check(struct device *device, const char *runtime_dir)
{
	return device->config->rescue ? 0 : orphans_check(device, runtime_dir);
}

static int check_stores(struct device *device, const char *runtime_dir)
{
	return orphans_check(device, runtime_dir);
}

/* A front end that is connected to the old server will connect to this one. */
static int compare_with_offer(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX], why[INFLIGHT_WHY_MAX];
	struct inflight_params was = { .directory = runtime_dir, .name = device->config->name };
	struct inflight *offer;
	int err;

	if (inflight_peek(&was, identity, why))
		return 0;
	err = adopt_inflight(device, runtime_dir, false, &offer);
	if (!err)
		inflight_close(offer, false);
	return err;
}

/* The socket is made after the old server has released the disk, and a failure would end the takeover. */
static int check_directory(const struct device_config *config)
{
	char path[sizeof(config->socket)], *slash;
	int err;

	strcpy(path, config->socket);
	slash = strrchr(path, '/');
	if (slash)
		slash[1] = '\0';
	if (!access(slash ? path : ".", W_OK | X_OK))
		return 0;
	err = -errno;
	log_err("%s: cannot use socket %s: directory %s: %s", config->name, config->socket,
		slash ? path : ".", strerror(-err));
	return err;
}

static int check_takeover(struct device *device, const char *runtime_dir)
{
	int err = check_directory(device->config);

	if (!err)
		err = check(device, runtime_dir);
	return err ? err : compare_with_offer(device, runtime_dir);
}

static int create_offer(struct device *device, const char *runtime_dir)
{
	char identity[INFLIGHT_IDENTITY_MAX];
	struct inflight_params params;

	device_inflight_params(device, runtime_dir, identity, &params);
	return inflight_create(&params, &device->offer);
}

static void remove_offer(struct device *device)
{
	if (device->offer)
		inflight_close(device->offer, true);
	device->offer = NULL;
}

/* A server that was killed has left an offer, and its front end is gone, or will connect again. */
static int open_inflight(struct device *device, const char *runtime_dir)
{
	if (!create_offer(device, runtime_dir))
		remove_offer(device);
	device->offer = NULL;
	return 0;
}

void device_note_offer(struct device *device, const char *runtime_dir)
{
	remove_offer(device);
	if (vhost_user_front_end(device) && create_offer(device, runtime_dir))
		device->offer = NULL; /* logged; a takeover does not compare then */
}

const struct disk_ops vhost_user_disk_ops = {
	.open = open_store,
	.check = check,
	.check_takeover = check_takeover,
	.check_stores = check_stores,
	.may_lock = may_lock,
	.set_limits = set_limits,
	.has_driver = has_driver,
	.open_inflight = open_inflight,
};
