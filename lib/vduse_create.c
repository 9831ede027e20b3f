// SPDX-License-Identifier: GPL-2.0-or-later
/* Creates, adopts, examines and destroys VDUSE devices in the kernel. */
#include "vduse_dev_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "vduse_kern.h"

/* The alignment of a queue's rings; a power of two (checked since 6.12.115). */
#define VQ_ALIGN 4096

/* The time limit for a killed server to close its device. */
#define OPEN_WAIT_MS 5000
#define OPEN_POLL_MS 2

/* The kernel frees a vdpa device a moment after it has removed it from sysfs. */
#define DESTROY_WAIT_MS 1000
#define DESTROY_POLL_MS 2

const char *vduse_dev_name_check(const char *name)
{
	size_t len = strlen(name);
	const char *c;

	if (!len || len >= VDUSE_NAME_MAX)
		return "is not 1 to 255 characters long";
	if (!strcmp(name, "control"))
		return "is the name of VDUSE's own control node";
	if (name[0] == '.')
		return "begins with a dot";
	for (c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.",
			    *c))
			return "has a character other than letters, digits, '_', '-' and '.'";
	/* Each queue has a sysfs directory of that form, so "vdpa dev add" would fail. */
	if (!strncmp(name, "vq", 2) && name[2] && strspn(name + 2, "0123456789") == len - 2)
		return "is what the kernel calls a queue";
	return NULL;
}

static bool path_exists(const char *dir, const char *name)
{
	char path[64 + 2 * VDUSE_NAME_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

bool vduse_dev_exists(const char *name)
{
	return path_exists("/sys/class/vduse", name);
}

/* Is it on the vdpa bus, or just being removed from it? */
static bool has_vdpa_device(const char *name)
{
	char dir[64 + VDUSE_NAME_MAX];

	snprintf(dir, sizeof(dir), "/sys/class/vduse/%s", name);
	return path_exists(dir, name);
}

static int create_in_kernel(int control_fd, const struct vduse_dev_params *p)
{
	struct vduse_dev_config *config;
	int err;

	config = calloc(1, sizeof(*config) + p->config_size);
	if (!config)
		return -ENOMEM;
	strncpy(config->name, p->name, sizeof(config->name) - 1);
	config->device_id = p->device_id;
	config->features = p->features;
	config->vq_num = p->vq_num;
	config->vq_align = VQ_ALIGN;
	config->config_size = p->config_size;
	memcpy(config->config, p->config, p->config_size);
	err = vduse_kern_create(control_fd, config);
	free(config);
	return err;
}

/* Opens the device; waits while a killed process still closes its descriptors. */
static int open_wait(const char *name)
{
	int fd = vduse_kern_open_dev(name);

	for (int ms = 0; fd == -EBUSY && ms < OPEN_WAIT_MS; ms += OPEN_POLL_MS) {
		usleep(OPEN_POLL_MS * 1000);
		fd = vduse_kern_open_dev(name);
	}
	return fd;
}

static const char *error_text(int err)
{
	return err == -EBUSY ? "another process serves a device of that name" : strerror(-err);
}

int vduse_dev_may_manage(void)
{
	int fd = vduse_kern_open_control();

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

int vduse_dev_is_served(const char *name)
{
	int fd = vduse_kern_open_dev(name);

	if (fd == -EBUSY)
		return 1;
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

int vduse_dev_count_queues(const char *name)
{
	struct vduse_vq_info info;
	int fd = open_wait(name), err, count = 0;

	if (fd < 0) {
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, error_text(fd));
		return fd;
	}
	while (!(err = vduse_kern_vq_info(fd, (uint32_t)count, &info)))
		count++;
	close(fd);
	if (err == -EINVAL && count)
		return count; /* @count is the first index that is too large */
	log_err("%s: cannot examine its queues: %s", name, strerror(-err));
	return err;
}

int vduse_dev_destroy_wait(int control_fd, const char *name)
{
	int err = vduse_kern_destroy(control_fd, name);

	for (int ms = 0; err == -EBUSY && ms < DESTROY_WAIT_MS; ms += DESTROY_POLL_MS) {
		if (has_vdpa_device(name))
			break;
		usleep(DESTROY_POLL_MS * 1000);
		err = vduse_kern_destroy(control_fd, name);
	}
	return err;
}

int vduse_dev_remove(const char *name)
{
	int control_fd = vduse_kern_open_control(), err = control_fd;

	if (control_fd >= 0) {
		err = vduse_dev_destroy_wait(control_fd, name);
		close(control_fd);
	}
	if (err)
		log_err("%s: cannot destroy the VDUSE device: %s", name, strerror(-err));
	return err;
}

/*
 * A device of this name exists. Without a vdpa device, no driver can have requests in flight, so it
 * is destroyed and created again. Return: 0: created again; -EEXIST: adopt it; other -errno
 */
static int replace_in_kernel(int control_fd, const struct vduse_dev_params *p)
{
	int fd, err;

	if (has_vdpa_device(p->name))
		return -EEXIST;
	fd = open_wait(p->name);
	if (fd < 0)
		return fd;
	close(fd);
	err = vduse_dev_destroy_wait(control_fd, p->name);
	if (err)
		return err;
	log_info("%s: replaced a VDUSE device of this name that no server used", p->name);
	return create_in_kernel(control_fd, p);
}

static int set_up_queues(struct vduse_dev *dev, const struct vduse_dev_params *p)
{
	int err;

	for (uint32_t i = 0; i < p->vq_num; i++) {
		err = vduse_kern_vq_setup(dev->fd, i, p->vq_size);
		if (err) {
			log_err("%s: cannot set up queue %u of size %u: %s", p->name, i, p->vq_size,
				strerror(-err));
			return err;
		}
	}
	return 0;
}

static int set_attributes(const struct vduse_dev_params *p)
{
	int err;

	/*
	 * If the reply to a control message comes too late, the kernel breaks the device for ever
	 * (dev->broken), and then requests in flight can never be completed. Without a time limit,
	 * tasks wait while the server is stopped or restarted. They can be killed.
	 */
	err = vduse_kern_set_attr(p->name, "msg_timeout", 0);
	if (err)
		log_warn("%s: cannot switch off the message timeout: %s", p->name, strerror(-err));

	if (!p->bounce_size)
		return 0;
	err = vduse_kern_set_attr(p->name, "bounce_size", p->bounce_size);
	if (err == -ENOENT) {
		if (p->bounce_size != VDUSE_BOUNCE_DEFAULT)
			log_info("%s: bounce_size is 64 MiB: other sizes need Linux 6.4", p->name);
		return 0;
	}
	if (err)
		log_err("%s: the kernel refuses a bounce_size of %llu bytes: %s", p->name,
			(unsigned long long)p->bounce_size, strerror(-err));
	return err;
}

/* Creates or adopts the device, and opens it. On failure it destroys what it has created. */
static int create_and_open(struct vduse_dev *dev, const struct vduse_dev_params *params)
{
	int err = create_in_kernel(dev->control_fd, params);

	if (err == -EEXIST)
		err = replace_in_kernel(dev->control_fd, params);
	dev->adopted = err == -EEXIST;
	if (err && !dev->adopted) {
		log_err("%s: cannot create the VDUSE device: %s", dev->name, error_text(err));
		return err;
	}
	dev->fd = open_wait(dev->name);
	if (dev->fd >= 0 && dev->adopted && vduse_kern_config_irq(dev->fd) == -EPERM) {
		log_err("%s: the kernel has marked the device broken, since its server did not reply "
			"in time; its waiting requests can be ended only by a reboot",
			dev->name);
		close(dev->fd);
		return -EPERM;
	}
	if (dev->fd >= 0)
		return 0;
	log_err("%s: cannot open /dev/vduse/%s: %s", dev->name, dev->name, error_text(dev->fd));
	if (!dev->adopted && vduse_kern_destroy(dev->control_fd, dev->name))
		log_err("%s: the VDUSE device stays in the kernel", dev->name);
	return dev->fd;
}

int vduse_dev_new(const struct vduse_dev_params *params, struct vduse_dev **out)
{
	struct vduse_dev *dev;
	int err;

	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	strncpy(dev->name, params->name, sizeof(dev->name) - 1);

	dev->control_fd = vduse_kern_open_control();
	if (dev->control_fd < 0) {
		err = dev->control_fd;
		log_err("cannot open /dev/vduse/control: %s", strerror(-err));
		goto free_dev;
	}
	err = create_and_open(dev, params);
	if (err)
		goto close_control;
	if (!dev->adopted) {
		err = set_up_queues(dev, params);
		if (!err)
			err = set_attributes(params);
		if (err)
			goto destroy;
	}
	dev->bus_id = vduse_kern_bus_id(dev->name);
	vduse_memory_init(&dev->memory, dev->name, dev->fd, params->umem);
	*out = dev;
	return 0;

destroy:
	close(dev->fd);
	if (vduse_kern_destroy(dev->control_fd, dev->name))
		log_err("%s: the VDUSE device stays in the kernel", dev->name);
close_control:
	close(dev->control_fd);
free_dev:
	free(dev);
	return err;
}
