// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_bus.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sysfs.h"
#include "temp_dir.h"
#include "vdpa_paths.h"

#define BLOCK_MAJOR 253
#define CHAR_MAJOR  240
#define PATHS	    32
#define FIRST_DISK  'b'

struct fake_bus fake_bus;

static struct {
	unsigned int nth; /* 0: none */
	int err;
} failures[FAKE_BUS_CALLS];

static bool is_made;
static struct vdpa_paths real_paths;
static char roots[3][PATH_MAX];

const char *fake_bus_path(const char *fmt, ...)
{
	static __thread char paths[PATHS][PATH_MAX];
	static __thread unsigned int next;
	char *path = paths[next++ % PATHS];
	va_list args;
	int len;

	len = snprintf(path, PATH_MAX, "%s/", temp_dir);
	va_start(args, fmt);
	vsnprintf(path + len, PATH_MAX - (size_t)len, fmt, args);
	va_end(args);
	return path;
}

static const char *device_path(const char *name, const char *attr)
{
	return fake_bus_path("sys/class/vduse/%s/%s%s", name, name, attr);
}

static void make_dir(const char *path)
{
	ck_assert_msg(!mkdir(path, 0755) || errno == EEXIST, "%s: %s", path, strerror(errno));
}

static void make_link(const char *target, const char *path)
{
	ck_assert_msg(!symlink(target, path), "%s: %s", path, strerror(errno));
}

void fake_bus_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(dprintf(fd, "%s\n", text), (int)strlen(text) + 1);
	close(fd);
}

bool fake_bus_is(const char *path, const char *text)
{
	char got[PATH_MAX] = "";
	FILE *from = fopen(path, "re");

	if (!from)
		return false;
	if (!fgets(got, sizeof(got), from))
		got[0] = '\0';
	fclose(from);
	got[strcspn(got, "\n")] = '\0';
	return !strcmp(got, text);
}

void fake_bus_make(void)
{
	static const char *const dirs[] = {
		"sys",
		"sys/bus",
		"sys/bus/vdpa",
		"sys/bus/vdpa/devices",
		"sys/bus/vdpa/drivers",
		"sys/bus/vdpa/drivers/virtio_vdpa",
		"sys/bus/vdpa/drivers/vhost_vdpa",
		"sys/bus/vdpa/drivers/foreign",
		"sys/class",
		"sys/class/vduse",
		"sys/dev",
		"sys/dev/block",
		"sys/dev/char",
		"dev",
		"run",
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		make_dir(fake_bus_path("%s", dirs[i]));
	fake_bus_write(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), "1");
	fake_bus_write(fake_bus_path("sys/bus/vdpa/drivers_probe"), "");
	memset(&fake_bus, 0, sizeof(fake_bus));
	memset(failures, 0, sizeof(failures));
	fake_bus.info = (struct vdpa_nl_info){ .mgmtdev = "vduse", .device_id = 2 };
	real_paths = vdpa_paths;
	strcpy(roots[0], fake_bus_path("sys"));
	strcpy(roots[1], fake_bus_path("dev"));
	strcpy(roots[2], fake_bus_path("run"));
	vdpa_paths.sys = roots[0];
	vdpa_paths.dev = roots[1];
	vdpa_paths.run = roots[2];
	is_made = true;
}

void fake_bus_drop(void)
{
	vdpa_paths = real_paths;
	is_made = false;
}

void fake_bus_fail(enum fake_bus_call call, unsigned int nth, int err)
{
	failures[call].nth = nth;
	failures[call].err = err;
}

/* Return: 0; -errno: the call fails */
static int enter(enum fake_bus_call call, const char *text)
{
	fake_bus.calls[call]++;
	if (fake_bus.on_call)
		fake_bus.on_call(call, text);
	if (failures[call].nth && !--failures[call].nth)
		return failures[call].err;
	return 0;
}

void fake_bus_vduse(const char *name)
{
	make_dir(fake_bus_path("sys/class/vduse/%s", name));
}

/* The name of the disk, or of the vhost-vdpa device, that was made of it: by the digit at its end. */
static void child_of(const char *name, char child[NAME_MAX + 1])
{
	int number = name[strlen(name) - 1] - '0';

	ck_assert_msg(number >= 0 && number <= 9, "%s does not end with a digit", name);
	if (access(device_path(name, "/virtio0"), F_OK) == 0)
		snprintf(child, NAME_MAX + 1, "vd%c", FIRST_DISK + number);
	else
		snprintf(child, NAME_MAX + 1, "vhost-vdpa-%d", number);
}

void fake_bus_node(const char *name, bool right)
{
	char child[NAME_MAX + 1];
	struct stat st;
	const char *link;

	child_of(name, child);
	fake_bus_write(fake_bus_path("dev/%s", child), "");
	ck_assert_int_eq(fake_bus_stat(fake_bus_path("dev/%s", child), &st), 0);
	link = fake_bus_path("sys/dev/%s/%u:%u", S_ISBLK(st.st_mode) ? "block" : "char",
			     major(st.st_rdev), minor(st.st_rdev));
	unlink(link);
	make_link(right ? fake_bus_path("somewhere/%s", child) : "somewhere/other", link);
}

void fake_bus_bind(const char *name, enum vdpa_driver driver)
{
	char child[NAME_MAX + 1];

	make_link(fake_bus_path("sys/bus/vdpa/drivers/%s", vdpa_driver_name(driver)),
		  device_path(name, "/driver"));
	if (fake_bus.no_child)
		return;
	if (driver == VDPA_DRIVER_VIRTIO)
		make_dir(device_path(name, "/virtio0"));
	child_of(name, child);
	if (driver == VDPA_DRIVER_VIRTIO) {
		make_dir(device_path(name, "/virtio0/block"));
		make_dir(
			fake_bus_path("sys/class/vduse/%s/%s/virtio0/block/%s", name, name, child));
	} else {
		make_dir(fake_bus_path("sys/class/vduse/%s/%s/%s", name, name, child));
	}
	if (!fake_bus.no_node)
		fake_bus_node(name, true);
}

void fake_bus_unlist(const char *name)
{
	ck_assert_int_eq(unlink(fake_bus_path("sys/bus/vdpa/devices/%s", name)), 0);
}

void fake_bus_unlink_driver(const char *name)
{
	ck_assert_int_eq(unlink(device_path(name, "/driver")), 0);
}

static void unbind(const char *name)
{
	char child[NAME_MAX + 1];

	fake_bus_unlink_driver(name);
	child_of(name, child);
	unlink(fake_bus_path("dev/%s", child));
	rmdir(fake_bus_path("sys/class/vduse/%s/%s/virtio0/block/%s", name, name, child));
	rmdir(device_path(name, "/virtio0/block"));
	rmdir(device_path(name, "/virtio0"));
	rmdir(fake_bus_path("sys/class/vduse/%s/%s/%s", name, name, child));
}

/* ---- lib/sysfs.h ---- */

static int probe(const char *name)
{
	enum vdpa_driver driver = VDPA_DRIVER_VIRTIO;

	if (access(device_path(name, ""), F_OK))
		return -ENODEV;
	if (fake_bus.refuses || access(device_path(name, "/driver"), F_OK) == 0)
		return 0;
	if (fake_bus_is(device_path(name, "/driver_override"), "vhost_vdpa"))
		driver = VDPA_DRIVER_VHOST;
	fake_bus_bind(name, driver);
	return 0;
}

static int write_attr(const char *attr, const char *path, const char *text)
{
	int err;

	if (!strcmp(attr, "drivers_probe")) {
		err = enter(FAKE_BUS_PROBE, text);
		return err ? err : probe(text);
	}
	if (!strcmp(attr, "unbind")) {
		err = enter(FAKE_BUS_UNBIND, text);
		if (err)
			return err;
		if (access(device_path(text, "/driver"), F_OK))
			return -ENOENT;
		unbind(text);
		return 0;
	}
	if (access(path, F_OK))
		return -errno;
	err = enter(!strcmp(attr, "driver_override") ? FAKE_BUS_OVERRIDE : FAKE_BUS_AUTOPROBE,
		    text);
	if (!err)
		fake_bus_write(path, text);
	return err;
}

int sysfs_write(const char *path, const char *text)
{
	ck_assert_msg(is_made, "a test writes to the real %s", path);
	ck_assert_msg(!strncmp(path, roots[0], strlen(roots[0])), "%s is none of sysfs", path);
	return write_attr(strrchr(path, '/') + 1, path, text);
}

/* ---- lib/vdpa_nl.h ---- */

int vdpa_nl_add(const char *name)
{
	int err;

	if (!is_made)
		return -EPROTONOSUPPORT;
	err = enter(FAKE_BUS_ADD, name);
	fake_bus.autoprobe_at_add =
		fake_bus_is(fake_bus_path("sys/bus/vdpa/drivers_autoprobe"), "1");
	if (err)
		return err;
	if (access(fake_bus_path("sys/class/vduse/%s", name), F_OK))
		return -EINVAL;
	if (access(fake_bus_path("sys/bus/vdpa/devices/%s", name), F_OK) == 0)
		return -EEXIST;
	make_dir(device_path(name, ""));
	fake_bus_write(device_path(name, "/driver_override"), "(null)");
	make_link(device_path(name, ""), fake_bus_path("sys/bus/vdpa/devices/%s", name));
	if (fake_bus.autoprobe_at_add)
		fake_bus_bind(name, VDPA_DRIVER_VIRTIO);
	return 0;
}

int vdpa_nl_show(const char *name, struct vdpa_nl_info *info)
{
	*info = (struct vdpa_nl_info){ 0 };
	if (!is_made)
		return -EPROTONOSUPPORT;
	if (access(fake_bus_path("sys/bus/vdpa/devices/%s", name), F_OK))
		return -ENODEV;
	*info = fake_bus.info;
	return 0;
}

int vdpa_nl_del(const char *name)
{
	int err;

	if (!is_made)
		return -EPROTONOSUPPORT;
	err = enter(FAKE_BUS_DEL, name);
	if (err)
		return err;
	if (access(fake_bus_path("sys/bus/vdpa/devices/%s", name), F_OK))
		return -ENODEV;
	fake_bus_unlist(name);
	if (access(device_path(name, "/driver"), F_OK) == 0)
		unbind(name);
	unlink(device_path(name, "/driver_override"));
	ck_assert_int_eq(rmdir(device_path(name, "")), 0);
	return 0;
}

/* ---- nodes ---- */

int fake_bus_stat(const char *path, struct stat *st)
{
	const char *node = strrchr(path, '/') + 1;

	if (fstatat(AT_FDCWD, path, st, 0))
		return -1;
	if (strncmp(path, temp_dir, strlen(temp_dir)) || !S_ISREG(st->st_mode))
		return 0;
	if (!strncmp(node, "vd", 2)) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = makedev(BLOCK_MAJOR, (unsigned int)(node[2] - 'a') * 16);
	} else if (!strncmp(node, "vhost-vdpa-", 11)) {
		st->st_mode = S_IFCHR | 0600;
		st->st_rdev = makedev(CHAR_MAJOR, (unsigned int)atoi(node + 11));
	}
	return 0;
}
