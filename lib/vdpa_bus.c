// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdpa_bus.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "sysfs.h"
#include "vdpa_autoprobe.h"
#include "vdpa_nl.h"
#include "vdpa_paths.h"

/*
 * The disk exists when the probe returns, unless virtio_blk is being loaded or probes
 * asynchronously. The node exists then too, unless udev creates the nodes.
 */
struct vdpa_paths vdpa_paths = {
	.sys = "/sys",
	.dev = "/dev",
	.run = "/run",
	.lock_wait_ms = 10000,
	.probe_wait_ms = 2000,
	.node_wait_ms = 10000,
};

#define POLL_MS	  10
#define NAME_SIZE (NAME_MAX + 1)

const char *vdpa_driver_name(enum vdpa_driver driver)
{
	switch (driver) {
	case VDPA_DRIVER_VIRTIO:
		return "virtio_vdpa";
	case VDPA_DRIVER_VHOST:
		return "vhost_vdpa";
	}
	return "?";
}

static void __printf(2, 3) bus_path(char path[PATH_MAX], const char *fmt, ...)
{
	int len = snprintf(path, PATH_MAX, "%s/bus/vdpa/", vdpa_paths.sys);
	va_list args;

	va_start(args, fmt);
	vsnprintf(path + len, PATH_MAX - (size_t)len, fmt, args);
	va_end(args);
}

static void dev_path(char path[PATH_MAX], const char *name, const char *attr)
{
	bus_path(path, "devices/%s%s", name, attr);
}

static bool on_bus(const char *name)
{
	char path[PATH_MAX];

	dev_path(path, name, "");
	return access(path, F_OK) == 0;
}

/* The last component of the target of a symbolic link. */
static int link_target(const char *path, char target[NAME_SIZE])
{
	char link[PATH_MAX];
	ssize_t len;

	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -errno;
	link[len] = '\0';
	snprintf(target, NAME_SIZE, "%.*s", NAME_MAX, basename(link));
	return 0;
}

static void bus_remove(const char *name)
{
	int err = vdpa_nl_del(name);

	if (err && err != -ENODEV)
		log_warn("%s: cannot remove it from the vdpa bus: it stays there", name);
}

static int bus_override(const char *name, enum vdpa_driver driver)
{
	char path[PATH_MAX];
	int err;

	dev_path(path, name, "/driver_override");
	err = sysfs_write(path, vdpa_driver_name(driver));
	if (err)
		log_err("%s: cannot choose driver %s: %s", name, vdpa_driver_name(driver),
			strerror(-err));
	return err;
}

/* Adds the device to the bus, unbound, with @driver as driver_override. */
static int bus_add(const char *name, enum vdpa_driver driver)
{
	struct vdpa_autoprobe probe;
	int err;

	err = vdpa_autoprobe_stop(&probe, name);
	if (err)
		return err;
	err = vdpa_nl_add(name);
	if (err)
		goto out_restore;
	err = bus_override(name, driver);
	if (err)
		bus_remove(name);

out_restore:
	vdpa_autoprobe_restore(&probe, name);
	return err;
}

static int bus_bind(const char *name, enum vdpa_driver driver)
{
	char path[PATH_MAX], bound[NAME_SIZE] = "none";
	int err;

	bus_path(path, "drivers_probe");
	err = sysfs_write(path, name);
	if (err) {
		log_err("%s: cannot bind driver %s: %s", name, vdpa_driver_name(driver),
			strerror(-err));
		return err;
	}

	/* The write succeeds even if the driver refused the device. */
	dev_path(path, name, "/driver");
	if (link_target(path, bound) < 0 || strcmp(bound, vdpa_driver_name(driver))) {
		log_err("%s: driver %s refused the device (bound to: %s); see the kernel log", name,
			vdpa_driver_name(driver), bound);
		return -ENODEV;
	}
	return 0;
}

static int bus_unbind(const char *name)
{
	char path[PATH_MAX];
	int err;

	dev_path(path, name, "/driver/unbind");
	err = sysfs_write(path, name);
	if (err == -ENOENT || err == -ENODEV)
		return 0; /* it is not bound (any more) */
	if (err)
		log_err("%s: cannot unbind from its driver: %s", name, strerror(-err));
	return err;
}

/* Finds the first entry of @dir whose name begins with @prefix. */
static int find_child(const char *dir, const char *prefix, char child[NAME_SIZE])
{
	struct dirent *entry;
	int err = -ENOENT;
	DIR *stream;

	stream = opendir(dir);
	if (!stream)
		return -ENOENT;
	while (err && (entry = readdir(stream))) {
		if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(child, NAME_SIZE, "%s", entry->d_name);
		err = 0;
	}
	closedir(stream);
	return err;
}

/*
 * Linux removes a device in this order (device_del()): its entry in the bus's list, the link to its
 * driver, the virtio or vhost-vdpa device that the driver created, and the device itself.
 */
enum vdpa_state vdpa_bus_state(const char *name)
{
	char dir[PATH_MAX], child[NAME_SIZE];
	enum vdpa_driver driver;

	/* Another kind of vdpa device may have the same name on the bus. */
	snprintf(dir, sizeof(dir), "%s/class/vduse/%s/%s", vdpa_paths.sys, name, name);
	if (access(dir, F_OK))
		return VDPA_ABSENT;
	if (!on_bus(name))
		return VDPA_REMOVING;
	if (vdpa_bus_driver(name, &driver) != -ENOENT)
		return VDPA_BOUND;
	if (!find_child(dir, "virtio", child) || !find_child(dir, "vhost-vdpa-", child))
		return VDPA_REMOVING;
	return VDPA_UNBOUND;
}

static int find_disk(const char *name, char disk[NAME_SIZE])
{
	char dir[PATH_MAX], sub[NAME_SIZE + sizeof("//block")], virtio[NAME_SIZE];

	dev_path(dir, name, "");
	if (find_child(dir, "virtio", virtio) < 0)
		return -ENOENT;
	snprintf(sub, sizeof(sub), "/%s/block", virtio);
	dev_path(dir, name, sub);
	return find_child(dir, "", disk);
}

static int make_node(const char *child, char node[VDPA_NODE_MAX])
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", vdpa_paths.dev, child) >= VDPA_NODE_MAX)
		return -ENOENT; /* the kernel's names have 31 characters at most */
	memcpy(node, path, strlen(path) + 1);
	return 0;
}

int vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX])
{
	char dir[PATH_MAX], child[NAME_SIZE];

	dev_path(dir, name, "");
	if (find_child(dir, "vhost-vdpa-", child) < 0 && find_disk(name, child) < 0)
		return -ENOENT;
	return make_node(child, node);
}

/* Does the node exist, and has it the device number of this device? */
static bool node_ready(const char *node)
{
	char path[PATH_MAX], target[NAME_SIZE];
	struct stat st;

	if (stat(node, &st) < 0 || !(S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
		return false;
	snprintf(path, sizeof(path), "%s/dev/%s/%u:%u", vdpa_paths.sys,
		 S_ISBLK(st.st_mode) ? "block" : "char", major(st.st_rdev), minor(st.st_rdev));
	return link_target(path, target) == 0 && !strcmp(target, basename(node));
}

static int wait_node(const char *name, char node[VDPA_NODE_MAX])
{
	unsigned int waited_ms, limit_ms;
	char found[VDPA_NODE_MAX];
	int err;

	for (waited_ms = 0;; waited_ms += POLL_MS) {
		err = vdpa_bus_node(name, found);
		if (!err && node_ready(found)) {
			memcpy(node, found, sizeof(found));
			return 0;
		}
		limit_ms = err ? vdpa_paths.probe_wait_ms : vdpa_paths.node_wait_ms;
		if (waited_ms >= limit_ms)
			break;
		usleep(POLL_MS * 1000);
	}
	if (err)
		log_err("%s: the driver created no disk (is virtio_blk loaded?); see the kernel "
			"log",
			name);
	else
		log_err("%s: the kernel created %s, but %s has no such node after %u s (is udev "
			"running?)",
			name, found, vdpa_paths.dev, vdpa_paths.node_wait_ms / 1000);
	return -ENODEV;
}

bool vdpa_driver_present(enum vdpa_driver driver)
{
	char path[PATH_MAX];

	bus_path(path, "drivers/%s", vdpa_driver_name(driver));
	return access(path, F_OK) == 0;
}

int vdpa_bus_attach(const char *name, enum vdpa_driver driver, char node[VDPA_NODE_MAX])
{
	int err;

	if (!vdpa_driver_present(driver)) {
		log_err("%s: kernel module %s is not loaded", name, vdpa_driver_name(driver));
		return -ENODEV;
	}
	err = bus_add(name, driver);
	if (err)
		return err;
	/*
	 * From here on without the lock: driver_override excludes other drivers, and the probe
	 * reads the disk, which takes as long as its server takes.
	 */
	err = bus_bind(name, driver);
	if (err)
		goto err_unbind;
	err = wait_node(name, node);
	if (err)
		goto err_unbind;
	return 0;

err_unbind:
	if (bus_unbind(name) == 0)
		bus_remove(name);
	return err;
}

int vdpa_bus_adopt(const char *name, enum vdpa_driver driver, char node[VDPA_NODE_MAX])
{
	char path[PATH_MAX], bound[NAME_SIZE];
	int err;

	vdpa_autoprobe_repair(name); /* the former server may have died while it added the device */
	dev_path(path, name, "/driver");
	err = link_target(path, bound);
	if (!err && strcmp(bound, vdpa_driver_name(driver))) {
		log_err("%s: is bound to driver %s, not %s", name, bound, vdpa_driver_name(driver));
		return -EBUSY;
	}
	if (err) { /* the former server died before it bound the device */
		err = bus_override(name, driver);
		if (!err)
			err = bus_bind(name, driver);
	}
	return err ? err : wait_node(name, node);
}

int vdpa_bus_driver(const char *name, enum vdpa_driver *driver)
{
	char path[PATH_MAX], bound[NAME_SIZE];

	dev_path(path, name, "/driver");
	if (link_target(path, bound))
		return -ENOENT;
	for (*driver = VDPA_DRIVER_VIRTIO; *driver <= VDPA_DRIVER_VHOST; (*driver)++)
		if (!strcmp(bound, vdpa_driver_name(*driver)))
			return 0;
	return -EINVAL;
}

int vdpa_bus_detach(const char *name)
{
	int err;

	switch (vdpa_bus_state(name)) {
	case VDPA_ABSENT:
		return 0;
	case VDPA_REMOVING:
		return -EINPROGRESS;
	case VDPA_UNBOUND:
	case VDPA_BOUND:
		break;
	}
	err = bus_unbind(name);
	if (err)
		return err;
	err = vdpa_nl_del(name);
	return err == -ENODEV ? 0 : err;
}
