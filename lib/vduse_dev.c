// SPDX-License-Identifier: GPL-2.0-or-later
#include "vduse_dev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "umem.h"
#include "vduse_kern.h"

/* How far apart the kernel lays out a queue's parts; a power of two (checked since 6.12.115). */
#define VQ_ALIGN 4096

/*
 * What one driver may make us map of the 128 TiB of addresses that all devices of a process share.
 * The largest virtual machines have some 10 TiB.
 */
#define MAPPED_MAX (16ull << 40)

/* How long a killed server may take to let go of its device. */
#define OPEN_WAIT_MS 5000
#define OPEN_POLL_MS 2

/* The kernel forgets a vdpa device a moment after it has gone from sysfs. */
#define DESTROY_WAIT_MS 1000
#define DESTROY_POLL_MS 2

struct vduse_dev {
	char name[VDUSE_NAME_MAX];
	int control_fd;
	int fd;
	bool adopted;
	struct iotlb tlb;
	bool want_umem;
	uint64_t mapped; /* bytes of driver memory; this and the next under the table's lock */
	struct log_limit fill_errors;
	void *umem; /* our bounce memory once registered, else NULL */
	size_t umem_size;
};

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
	/* The kernel keeps a sysfs directory of that name per queue, and dev add fails on it. */
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

/* On the vdpa bus, or just being taken off it. */
static bool has_vdpa_device(const char *name)
{
	char dir[64 + VDUSE_NAME_MAX];

	snprintf(dir, sizeof(dir), "/sys/class/vduse/%s", name);
	return path_exists(dir, name);
}

static int iotlb_fill_umem(struct vduse_dev *dev, uint64_t iova, struct iotlb_region *region);

static int prot_of(uint8_t perm)
{
	switch (perm) {
	case VDUSE_ACCESS_RO:
		return PROT_READ;
	case VDUSE_ACCESS_WO:
		return PROT_WRITE;
	case VDUSE_ACCESS_RW:
		return PROT_READ | PROT_WRITE;
	}
	return PROT_NONE;
}

static int map_entry(struct vduse_dev *dev, const struct vduse_iotlb_entry *entry, int region_fd,
		     void **addr)
{
	uint64_t size = entry->last - entry->start + 1;

	if (entry->last - entry->start >= MAPPED_MAX - dev->mapped)
		return -ENOSPC;
	*addr = mmap(NULL, size, prot_of(entry->perm), MAP_SHARED, region_fd, (off_t)entry->offset);
	if (*addr == MAP_FAILED)
		return -errno;
	munlock(*addr, size); /* a process that locks all memory means its own, not the driver's */
	dev->mapped += size;
	return 0;
}

static int dev_iotlb_fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	/* Ask for exactly this byte: the kernel returns the first region that overlaps. */
	struct vduse_iotlb_entry entry = { .start = iova, .last = iova };
	struct vduse_dev *dev = ctx;
	int region_fd, err;
	void *addr;

	if (dev->want_umem && iotlb_fill_umem(dev, iova, region) == 0)
		return 0;

	region_fd = vduse_kern_iotlb_fd(dev->fd, &entry);
	if (region_fd == -EINVAL)
		return -EFAULT;
	if (region_fd < 0) {
		if (log_allow(&dev->fill_errors, dev->name))
			log_err("%s: no mapping for IOVA 0x%llx: %s", dev->name,
				(unsigned long long)iova, strerror(-region_fd));
		return region_fd;
	}

	err = map_entry(dev, &entry, region_fd, &addr);
	if (err && log_allow(&dev->fill_errors, dev->name))
		log_err("%s: cannot map IOVA 0x%llx to 0x%llx: %s", dev->name, entry.start,
			entry.last, err == -ENOSPC ? "more than 16 TiB" : strerror(-err));
	close(region_fd);
	if (err)
		return err;

	madvise(addr, entry.last - entry.start + 1, MADV_DONTDUMP); /* it is not ours to keep */
	*region = (struct iotlb_region){
		.start = entry.start,
		.last = entry.last,
		.addr = addr,
		.prot = prot_of(entry.perm),
	};
	return 0;
}

static void dev_iotlb_release(void *ctx, const struct iotlb_region *region)
{
	struct vduse_dev *dev = ctx;

	if (region->addr == dev->umem)
		return; /* stays registered over resets, until the device is closed */
	munmap(region->addr, region->last - region->start + 1);
	dev->mapped -= region->last - region->start + 1;
}

static const struct iotlb_ops dev_iotlb_ops = {
	.fill = dev_iotlb_fill,
	.release = dev_iotlb_release,
};

static int umem_register(struct vduse_dev *dev, uint64_t size)
{
	struct vduse_iova_umem umem = { .iova = 0, .size = size };
	void *addr = umem_alloc(size);
	int err;

	if (!addr)
		return -ENOMEM;
	umem.uaddr = (uintptr_t)addr;
	err = vduse_kern_reg_umem(dev->fd, &umem);
	if (err) {
		umem_free(addr, size);
		return err;
	}
	dev->umem = addr;
	dev->umem_size = size;
	return 0;
}

/*
 * The bounce region of virtio-vdpa, as our own memory. Registered at the first look into it, before
 * anything touched the kernel's pages: those stay behind what was mapped already.
 */
static int iotlb_fill_umem(struct vduse_dev *dev, uint64_t iova, struct iotlb_region *region)
{
	struct vduse_iova_info info = { .start = iova, .last = iova };
	int err;

	if (vduse_kern_iotlb_info(dev->fd, &info) || !(info.capability & VDUSE_IOVA_CAP_UMEM))
		return -EFAULT;
	if (info.start || iova > info.last)
		return -EFAULT;

	if (!dev->umem) {
		err = umem_register(dev, info.last + 1);
		if (err) {
			log_warn("%s: bounce memory stays the kernel's: VDUSE_IOTLB_REG_UMEM: %s",
				 dev->name, strerror(-err));
			dev->want_umem = false;
			return err;
		}
	}
	*region = (struct iotlb_region){
		.start = 0,
		.last = info.last,
		.addr = dev->umem,
		.prot = PROT_READ | PROT_WRITE,
	};
	return 0;
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

/* One opener at a time; a process that was killed may still be closing its descriptors. */
static int open_patiently(const char *name)
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

int vduse_dev_wait_unserved(const char *name)
{
	int fd = open_patiently(name);

	if (fd >= 0)
		close(fd);
	else
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, error_text(fd));
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
	int fd = open_patiently(name), err, count = 0;

	if (fd < 0) {
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, error_text(fd));
		return fd;
	}
	while (!(err = vduse_kern_vq_info(fd, (uint32_t)count, &info)))
		count++;
	close(fd);
	if (err == -EINVAL && count)
		return count; /* that was one after the last */
	log_err("%s: cannot examine its queues: %s", name, strerror(-err));
	return err;
}

static int destroy_patiently(int control_fd, const char *name)
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
		err = destroy_patiently(control_fd, name);
		close(control_fd);
	}
	if (err)
		log_err("%s: cannot destroy the VDUSE device: %s", name, strerror(-err));
	return err;
}

/*
 * The name is taken. Without a vdpa device nobody can have anything in flight, so it is made again;
 * with one it stays, to be adopted. Return: 0: made again; -EEXIST: adopt it; -errno
 */
static int replace_in_kernel(int control_fd, const struct vduse_dev_params *p)
{
	int fd, err;

	if (has_vdpa_device(p->name))
		return -EEXIST;
	fd = open_patiently(p->name);
	if (fd < 0)
		return fd;
	close(fd);
	err = destroy_patiently(control_fd, p->name);
	if (err)
		return err;
	log_info("%s: replaced a device of that name that nobody served", p->name);
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
	 * A message that times out breaks the device for ever (kernel: dev->broken), and then
	 * requests in flight can never be completed. Without a limit a stopped or restarted server
	 * costs a pause; the waiting task can be killed.
	 */
	err = vduse_kern_set_attr(p->name, "msg_timeout", 0);
	if (err)
		log_warn("%s: cannot switch off the message timeout: %s", p->name, strerror(-err));

	if (!p->bounce_size)
		return 0;
	err = vduse_kern_set_attr(p->name, "bounce_size", p->bounce_size);
	if (err == -ENOENT) {
		if (p->bounce_size != VDUSE_BOUNCE_DEFAULT)
			log_info("%s: bounce_size stays 64 MiB: another needs Linux 6.4", p->name);
		return 0;
	}
	if (err)
		log_err("%s: the kernel refuses a bounce_size of %llu bytes: %s", p->name,
			(unsigned long long)p->bounce_size, strerror(-err));
	return err;
}

/* Creates or finds the device and opens it. On failure nothing stays that was not there before. */
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
	dev->fd = open_patiently(dev->name);
	if (dev->fd >= 0 && dev->adopted && vduse_kern_config_irq(dev->fd) == -EPERM) {
		log_err("%s: the kernel has given the device up, since its server did not answer in "
			"time; what waits for it cannot be ended without a reboot",
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
	dev->want_umem = params->umem;

	dev->control_fd = vduse_kern_open_control();
	if (dev->control_fd < 0) {
		err = dev->control_fd;
		log_err("/dev/vduse/control: %s", strerror(-err));
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
	iotlb_init(&dev->tlb, &dev_iotlb_ops, dev);
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

bool vduse_dev_adopted(const struct vduse_dev *dev)
{
	return dev->adopted;
}

bool vduse_dev_running(const struct vduse_dev *dev)
{
	return vduse_kern_config_irq(dev->fd) == 0;
}

static void dev_close(struct vduse_dev *dev)
{
	iotlb_exit(&dev->tlb);
	close(dev->fd);
	/* Only now: closing hands bounce data back to the kernel's pages, out of this memory. */
	if (dev->umem)
		umem_free(dev->umem, dev->umem_size);
}

void vduse_dev_abandon(struct vduse_dev *dev)
{
	dev_close(dev);
	close(dev->control_fd);
	free(dev);
}

int vduse_dev_free(struct vduse_dev *dev)
{
	int err;

	dev_close(dev);
	err = destroy_patiently(dev->control_fd, dev->name);
	if (err)
		log_err("%s: the VDUSE device stays in the kernel: %s", dev->name, strerror(-err));
	close(dev->control_fd);
	free(dev);
	return err;
}

int vduse_dev_fd(const struct vduse_dev *dev)
{
	return dev->fd;
}

struct iotlb *vduse_dev_iotlb(struct vduse_dev *dev)
{
	return &dev->tlb;
}

int vduse_dev_umem(struct vduse_dev *dev, void **addr, size_t *size)
{
	int err = 0;

	/* A miss on any thread sets it, under the table's lock. */
	pthread_mutex_lock(&dev->tlb.lock);
	*addr = dev->umem;
	*size = dev->umem_size;
	if (!dev->umem)
		err = dev->want_umem ? -EAGAIN : -ENOENT;
	pthread_mutex_unlock(&dev->tlb.lock);
	return err;
}

int vduse_dev_recv(struct vduse_dev *dev, struct vduse_dev_request *request)
{
	return vduse_kern_read_request(dev->fd, request);
}

static int dev_respond(struct vduse_dev *dev, const struct vduse_dev_response *response)
{
	int err = vduse_kern_write_response(dev->fd, response);

	if (err == -ENOENT)
		return 0;
	if (err)
		log_err("%s: cannot answer a control message: %s", dev->name, strerror(-err));
	return err;
}

int vduse_dev_reply(struct vduse_dev *dev, const struct vduse_dev_request *request, bool ok)
{
	struct vduse_dev_response response = {
		.request_id = request->request_id,
		.result = ok ? VDUSE_REQ_RESULT_OK : VDUSE_REQ_RESULT_FAILED,
	};

	return dev_respond(dev, &response);
}

int vduse_dev_reply_vq_state(struct vduse_dev *dev, const struct vduse_dev_request *request,
			     uint16_t avail_index)
{
	struct vduse_dev_response response = {
		.request_id = request->request_id,
		.result = VDUSE_REQ_RESULT_OK,
	};

	response.vq_state.index = request->vq_state.index;
	response.vq_state.split.avail_index = avail_index;
	return dev_respond(dev, &response);
}

const char *vduse_dev_request_name(uint32_t type)
{
	switch (type) {
	case VDUSE_GET_VQ_STATE:
		return "GET_VQ_STATE";
	case VDUSE_SET_STATUS:
		return "SET_STATUS";
	case VDUSE_UPDATE_IOTLB:
		return "UPDATE_IOTLB";
	}
	return "unknown message";
}

int vduse_dev_features(struct vduse_dev *dev, uint64_t *features)
{
	return vduse_kern_features(dev->fd, features);
}

int vduse_dev_update_config(struct vduse_dev *dev, uint32_t offset, const void *data, uint32_t len)
{
	int err = vduse_kern_set_config(dev->fd, offset, data, len);

	if (err)
		return err;
	err = vduse_kern_config_irq(dev->fd);
	return err == -EINVAL ? 0 : err; /* no driver yet: it will read the new value */
}

int vduse_dev_vq_info(struct vduse_dev *dev, uint32_t index, struct vduse_vq_info *info)
{
	return vduse_kern_vq_info(dev->fd, index, info);
}

int vduse_dev_vq_kickfd(struct vduse_dev *dev, uint32_t index, int eventfd)
{
	return vduse_kern_vq_kickfd(dev->fd, index, eventfd);
}

int vduse_dev_vq_irq(struct vduse_dev *dev, uint32_t index)
{
	return vduse_kern_vq_irq(dev->fd, index);
}

int vduse_dev_vq_irq_anyway(struct vduse_dev *dev, uint32_t index)
{
	vduse_kern_vq_irq_cpus(dev->name, index);
	return vduse_dev_vq_irq(dev, index);
}
