// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_kern_state.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VDUSE_DEVICES "/sys/class/vduse/"

/* Recursive: a sanitizer that finds something under it reads the program file, and calls close(). */
pthread_mutex_t fake_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
struct fake_dev *fake_devs[FAKE_DEVS_MAX];
struct fake_calls fake_calls[FAKE_CALLS];

/* The thread sanitizer's own close(): without it a number that is used again looks like a race. */
extern int __interceptor_close(int fd) __attribute__((weak));

static int raw_close(int fd)
{
	if (__interceptor_close)
		return __interceptor_close(fd);
	return (int)syscall(SYS_close, fd);
}

int fake_enter(enum fake_call call)
{
	pthread_mutex_lock(&fake_lock);
	return ++fake_calls[call].calls == fake_calls[call].fail_at ? fake_calls[call].err : 0;
}

int fake_leave(int ret)
{
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

struct fake_dev *fake_dev_by_name(const char *name)
{
	for (int i = 0; i < FAKE_DEVS_MAX; i++)
		if (fake_devs[i] && !strcmp(fake_devs[i]->name, name))
			return fake_devs[i];
	return NULL;
}

/* The process's is 0; that of a thread with one of its own is the thread. */
pid_t fake_table(void)
{
	long differs = syscall(SYS_kcmp, getpid(), gettid(), KCMP_FILES, 0, 0);

	return differs > 0 ? gettid() : 0;
}

struct fake_dev *fake_dev_by_fd(int fd)
{
	for (int i = 0; i < FAKE_DEVS_MAX; i++)
		if (fake_devs[i] && fake_devs[i]->fd == fd && fake_devs[i]->table == fake_table())
			return fake_devs[i];
	return NULL;
}

int fake_enter_dev(enum fake_call call, int fd, struct fake_dev **dev)
{
	int err = fake_enter(call);

	*dev = fake_dev_by_fd(fd);
	ck_assert_msg(*dev != NULL, "fake kernel: fd %d is not a device", fd);
	return err ? err : (*dev)->broken ? -EPERM : 0;
}

struct fake_dev *fake_dev_make(const char *name)
{
	struct fake_dev *dev = calloc(1, sizeof(*dev));
	int i = 0;

	while (i < FAKE_DEVS_MAX && fake_devs[i])
		i++;
	ck_assert_msg(dev && i < FAKE_DEVS_MAX, "fake kernel: too many devices");
	fake_devs[i] = dev;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->msg_timeout = 30;
	dev->bounce_size = FAKE_BOUNCE_SIZE;
	dev->fd = dev->peer = dev->bounce_fd = -1;
	for (i = 0; i < FAKE_VQS_MAX; i++) {
		dev->vqs[i].kickfd = -1;
		CPU_SET(0, &dev->vqs[i].cpus);
	}
	return dev;
}

void fake_drop_kickfd(struct fake_vq *vq)
{
	if (vq->kickfd >= 0)
		raw_close(vq->kickfd);
	vq->kickfd = -1;
}

void fake_forget_domain(struct fake_dev *dev)
{
	fake_drop_regions(dev);
	if (dev->bounce_fd >= 0)
		raw_close(dev->bounce_fd);
	dev->bounce_fd = -1;
	dev->umem_is_stale = dev->umem != NULL;
}

void fake_drop_regions(struct fake_dev *dev)
{
	for (unsigned int i = 0; i < dev->region_count; i++)
		if (!dev->regions[i].bounce)
			raw_close(dev->regions[i].fd);
	dev->region_count = 0;
}

/* The last close: memory goes back to the kernel's pages, messages to the head of the queue. */
static void dev_released(struct fake_dev *dev)
{
	dev->fd = -1;
	raw_close(dev->peer);
	dev->peer = -1;
	if (dev->umem && !dev->umem_is_stale) {
		ssize_t put = pwrite(dev->bounce_fd, dev->umem, dev->bounce_size, 0);

		ck_assert_msg(put == (ssize_t)dev->bounce_size,
			      "fake kernel: registered memory is gone before the device is closed");
	}
	dev->umem = NULL;
	dev->umem_is_stale = false;
	for (unsigned int i = 0; i < dev->message_count; i++)
		if (dev->messages[i].state == FAKE_READ)
			dev->messages[i].state = FAKE_QUEUED;
}

void fake_dev_destroy(struct fake_dev *dev)
{
	for (int i = 0; i < FAKE_VQS_MAX; i++)
		fake_drop_kickfd(&dev->vqs[i]);
	fake_drop_regions(dev);
	if (dev->bounce_fd >= 0)
		raw_close(dev->bounce_fd);
	if (dev->peer >= 0)
		raw_close(dev->peer);
	for (int i = 0; i < FAKE_DEVS_MAX; i++)
		if (fake_devs[i] == dev)
			fake_devs[i] = NULL;
	free(dev);
}

bool fake_dev_is_open(struct fake_dev *dev)
{
	if (dev->open_elsewhere && dev->open_elsewhere != FAKE_FOR_EVER)
		return dev->open_elsewhere--;
	return dev->open_elsewhere || dev->fd >= 0;
}

void (*fake_kern_watch_close)(int fd);

int close(int fd)
{
	struct fake_dev *dev;

	if (fake_kern_watch_close)
		fake_kern_watch_close(fd);
	pthread_mutex_lock(&fake_lock);
	dev = fd >= 0 ? fake_dev_by_fd(fd) : NULL;
	if (dev)
		dev_released(dev);
	pthread_mutex_unlock(&fake_lock);
	return raw_close(fd);
}

/* NAME: the VDUSE device; NAME/NAME: its vdpa device. */
static bool class_has(const char *path)
{
	const char *last = strrchr(path, '/') + 1;
	const struct fake_dev *dev = fake_dev_by_name(last);

	return dev && (strlen(path) == strlen(VDUSE_DEVICES) + strlen(last) || dev->on_bus);
}

int (*fake_kern_has_path)(const char *path);

int access(const char *path, int mode)
{
	int there = fake_kern_has_path ? fake_kern_has_path(path) : -1;

	if (there < 0 && strncmp(path, VDUSE_DEVICES, strlen(VDUSE_DEVICES)))
		return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
	if (there < 0) {
		pthread_mutex_lock(&fake_lock);
		there = class_has(path);
		pthread_mutex_unlock(&fake_lock);
	}
	errno = there ? 0 : ENOENT;
	return there ? 0 : -1;
}

struct fake_region *fake_first_overlap(struct fake_dev *dev, uint64_t start, uint64_t last)
{
	struct fake_region *first = NULL;

	for (unsigned int i = 0; i < dev->region_count; i++) {
		struct fake_region *r = &dev->regions[i];

		if (r->start <= last && r->last >= start && (!first || r->start < first->start))
			first = r;
	}
	return start <= last ? first : NULL;
}
