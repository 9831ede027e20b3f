// SPDX-License-Identifier: GPL-2.0-or-later
#include "rescue.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "log.h"
#include "vdpa_bus.h"
#include "vduse_dev.h"
#include "virtq.h"

#define VDUSE_CLASS "/sys/class/vduse"

/* How long the removal of one device may take. */
#define REMOVE_WAIT_MS 5000
#define REMOVE_POLL_MS 5

enum exit_status rescue_device(const char *name, const char *runtime_dir)
{
	const struct server_options options = { .mode = SERVER_RESCUE, .ready_fd = -1 };
	struct device_config device = {
		.name = (char *)name,
		.path = (char *)"error:",
		.queue_size = VIRTQ_MAX_SIZE,
		.rescue = true,
	};
	struct config config = {
		.log_level = LOG_LEVEL_INFO,
		.runtime_dir = (char *)runtime_dir,
		.devices = &device,
		.device_count = 1,
	};
	enum vdpa_driver driver = VDPA_DRIVER_VIRTIO;
	enum vdpa_state state;
	int queues;

	if (!vduse_dev_exists(name)) {
		log_err("%s: there is no VDUSE device of that name", name);
		return EXIT_RUNTIME;
	}
	queues = vduse_dev_count_queues(name);
	if (queues < 0)
		return EXIT_RUNTIME;
	state = vdpa_bus_state(name);
	if (state == VDPA_ABSENT)
		return vduse_dev_remove(name) ? EXIT_RUNTIME : EXIT_OK;
	/* Without a driver any will do. */
	if (!vdpa_bus_driver(name, &driver) && driver == VDPA_DRIVER_VHOST)
		device.driver = DRIVER_VHOST_VDPA;

	device.queues = (uint32_t)queues;
	log_info("%s: completing every request with an error, until %s", name,
		 state == VDPA_REMOVING ? "the removal by another process has ended"
					: "no program uses the disk");
	return server_run(&config, &options);
}

/*
 * Removes a device without a server and a driver. If the device is on the bus, a child process removes
 * it: netlink waits, uninterruptibly, while the removal of any other device waits.
 * Return: 0; -EBUSY: it cannot be removed now, logged; other -errno, logged
 */
static int remove_idle(const char *name)
{
	int status, ms, err;
	pid_t child;

	if (vdpa_bus_state(name) == VDPA_ABSENT)
		return vduse_dev_remove(name);
	child = fork();
	if (child < 0) {
		err = -errno;
		log_err("%s: cannot start a process: %s", name, strerror(-err));
		return err;
	}
	if (!child) {
		close(STDOUT_FILENO); /* a reader of the output must not wait for the child */
		_exit(vdpa_bus_detach(name) || vduse_dev_remove(name) ? EXIT_RUNTIME : EXIT_OK);
	}
	for (ms = 0; ms < REMOVE_WAIT_MS; ms += REMOVE_POLL_MS) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
		usleep(REMOVE_POLL_MS * 1000);
	}
	log_err("%s: has no server and no driver; cannot remove it now: the removal of another "
		"device holds the lock of the vdpa bus; try again when it has ended",
		name);
	return -EBUSY;
}

static int collect_unserved(const char *name, bool dry_run)
{
	char node[VDPA_NODE_MAX];
	int err;

	switch (vdpa_bus_state(name)) {
	case VDPA_BOUND:
		printf("%s unserved, attached as %s: 'vduse-blk serve' serves its requests, "
		       "'vduse-blk rescue %s' ends them with errors\n",
		       name, vdpa_bus_node(name, node) ? "?" : node, name);
		return 0;
	case VDPA_REMOVING:
		printf("%s unserved, being removed: the removal waits for its requests; 'vduse-blk "
		       "serve' serves them, 'vduse-blk rescue %s' ends them with errors\n",
		       name, name);
		return 0;
	case VDPA_ABSENT:
	case VDPA_UNBOUND:
		break;
	}
	err = dry_run ? 0 : remove_idle(name);
	if (!err)
		printf("%s %s\n", name, dry_run ? "unserved, not attached" : "removed");
	return err;
}

/* Return: 0; -errno, logged */
static int collect(const char *name, bool dry_run)
{
	int served = vduse_dev_is_served(name);

	if (!served)
		return collect_unserved(name, dry_run);
	if (served == -ENOENT && !vduse_dev_exists(name))
		return 0; /* it was destroyed just now */
	if (served < 0) {
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, strerror(-served));
		return served;
	}
	printf("%s served\n", name);
	return 0;
}

enum exit_status rescue_collect(bool dry_run)
{
	enum exit_status status = EXIT_OK;
	int err = vduse_dev_may_manage();
	struct dirent *entry;
	DIR *dir;

	/* Check this first: without devices, an empty output would mean "nothing to remove". */
	if (err == -EACCES || err == -EPERM) {
		log_err("gc needs to be root: cannot open /dev/vduse/control: %s", strerror(-err));
		return EXIT_RUNTIME;
	}
	dir = opendir(VDUSE_CLASS);
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
