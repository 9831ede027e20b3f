// SPDX-License-Identifier: GPL-2.0-or-later
#include "rescue.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "vdpa_bus.h"
#include "vduse_dev.h"
#include "virtq.h"

#define VDUSE_CLASS "/sys/class/vduse"

/* Takes an unserved device that no driver has away. Return: 0; -errno, logged */
static int remove_idle(const char *name)
{
	int err = vdpa_bus_detach(name);

	return err ? err : vduse_dev_remove(name);
}

enum exit_status rescue_device(const char *name, const char *runtime_dir)
{
	const struct server_options options = { 0 };
	struct device_config device = {
		.name = (char *)name,
		.path = (char *)"(none)",
		.queue_size = VIRTQ_MAX_SIZE,
		.rescue = true,
	};
	struct config config = {
		.log_level = LOG_LEVEL_INFO,
		.runtime_dir = (char *)runtime_dir,
		.devices = &device,
		.device_count = 1,
	};
	int queues;

	if (!vduse_dev_exists(name)) {
		log_err("%s: there is no VDUSE device of that name", name);
		return EXIT_RUNTIME;
	}
	queues = vduse_dev_count_queues(name);
	if (queues < 0)
		return EXIT_RUNTIME;
	if (!vdpa_bus_on_bus(name) || vdpa_bus_driver(name, &device.driver) == -ENOENT)
		return remove_idle(name) ? EXIT_RUNTIME : EXIT_OK;

	device.queues = (uint32_t)queues;
	log_info("%s: every request is answered with an error, until nobody uses the disk", name);
	return server_run(&config, &options);
}

/* Return: 0; -errno, logged */
static int collect(const char *name, bool dry_run)
{
	int served = vduse_dev_is_served(name), err;
	char node[VDPA_NODE_MAX];
	enum vdpa_driver driver;

	if (served < 0) {
		if (served == -ENOENT)
			return 0; /* it has just gone */
		log_err("%s: cannot open it: %s", name, strerror(-served));
		return served;
	}
	if (served) {
		printf("%s served\n", name);
		return 0;
	}
	if (vdpa_bus_on_bus(name) && vdpa_bus_driver(name, &driver) != -ENOENT) {
		printf("%s unserved, attached as %s: 'vduse-blk rescue %s' ends what waits for it, "
		       "'vduse-blk serve' goes on\n",
		       name, vdpa_bus_node(name, node) ? "?" : node, name);
		return 0;
	}
	err = dry_run ? 0 : remove_idle(name);
	if (!err)
		printf("%s %s\n", name, dry_run ? "unserved, not attached" : "removed");
	return err;
}

enum exit_status rescue_collect(bool dry_run)
{
	enum exit_status status = EXIT_OK;
	struct dirent *entry;
	DIR *dir = opendir(VDUSE_CLASS);

	if (!dir) {
		if (errno == ENOENT)
			return EXIT_OK; /* no VDUSE, no device */
		log_err(VDUSE_CLASS ": %s", strerror(errno));
		return EXIT_RUNTIME;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "control") &&
		    collect(entry->d_name, dry_run))
			status = EXIT_RUNTIME;
	closedir(dir);
	return status;
}
