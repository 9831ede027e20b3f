/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of one VDUSE device: create, answer control messages, queues, destroy.
 *
 * Nothing here knows what the device does. Threads: vduse_dev_vq_*() and the table of
 * vduse_dev_iotlb() may be used from any thread; everything else belongs to the thread that
 * created the device. No function waits for anything but a kernel mutex.
 *
 * Source: Documentation/userspace-api/vduse.rst, drivers/vdpa/vdpa_user/ (Linux 6.12).
 */
#ifndef LIB_VDUSE_DEV_H
#define LIB_VDUSE_DEV_H

#include <linux/vduse.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "iotlb.h"

struct vduse_dev;

/* Bounce memory of virtio-vdpa in bytes, where nobody says anything (drivers/vdpa/vdpa_user/). */
#define VDUSE_BOUNCE_DEFAULT (64u << 20)
#define VDUSE_BOUNCE_MAX     (1u << 30)

struct vduse_dev_params {
	const char *name;     /* of /dev/vduse/NAME and of the vdpa device */
	uint32_t device_id;   /* VIRTIO_ID_BLOCK, ... */
	uint64_t features;    /* offered; must contain VIRTIO_F_ACCESS_PLATFORM */
	uint16_t vq_num;      /* queues */
	uint16_t vq_size;     /* descriptors each, a power of two */
	const void *config;   /* config space, copied */
	uint32_t config_size; /* bytes, at most a page */
	uint64_t bounce_size; /* bytes; 0: the default, as before Linux 6.4 in any case */
	bool umem;	      /* replace the kernel's bounce pages by our memory, where it can */
};

/**
 * vduse_dev_name_check() - can a device have this name?
 *
 * Return: NULL, or what is wrong with it, as a phrase that follows the name
 */
const char *vduse_dev_name_check(const char *name);

/** vduse_dev_exists() - is there a device of that name in the kernel, served or not? */
bool vduse_dev_exists(const char *name);

/**
 * vduse_dev_may_manage() - may this process create and destroy devices?
 *
 * Return: 0; -EACCES, -EPERM: it may not; -ENOENT, -ENODEV: no VDUSE; other -errno. Logs nothing
 */
int __must_check vduse_dev_may_manage(void);

/**
 * vduse_dev_is_served() - has a process the device of that name open right now?
 *
 * Return: 1; 0; -ENOENT: there is no such device; other -errno. Logs nothing
 */
int __must_check vduse_dev_is_served(const char *name);

/**
 * vduse_dev_count_queues() - how many has the unserved device @name?
 *
 * Waits a few seconds for a server that is ending. Return: 1 ... 65535; -errno, logged
 */
int __must_check vduse_dev_count_queues(const char *name);

/** vduse_dev_remove() - destroy an unserved device without a vdpa device. Return: 0; -errno, logged */
int vduse_dev_remove(const char *name);

/**
 * vduse_dev_new() - create a device in the kernel and open it, or adopt one
 *
 * A device of that name without a server is adopted where it is on the vdpa bus, or is being
 * removed from it, and is otherwise recreated. The kernel does not tell how an adopted device was
 * configured: the caller must know from its record that @params are the same. Waits a few seconds
 * for a server that is ending. Logs a failure.
 *
 * Return: 0; -EBUSY: another server has it; -EPERM: the kernel serves this one no more; other
 * -errno
 */
int __must_check vduse_dev_new(const struct vduse_dev_params *params, struct vduse_dev **out);

/** vduse_dev_adopted() - was it there before? */
bool vduse_dev_adopted(const struct vduse_dev *dev);

/**
 * vduse_dev_running() - did the driver of an adopted device set DRIVER_OK?
 *
 * No call tells the status; a config interrupt, harmless to the driver, is refused without it.
 */
bool vduse_dev_running(const struct vduse_dev *dev);

/**
 * vduse_dev_free() - close the device and destroy it in the kernel
 *
 * No queue may be running, no pointer from the IOTLB in use. @dev is gone afterwards, whatever is
 * returned.
 *
 * Return: 0; -EBUSY: it is on the vdpa bus, and stays in the kernel, not logged; other -errno, logged
 */
int vduse_dev_free(struct vduse_dev *dev);

/** vduse_dev_abandon() - close the device and leave it in the kernel for another server */
void vduse_dev_abandon(struct vduse_dev *dev);

/** vduse_dev_fd() - to poll for control messages; owned by @dev */
int vduse_dev_fd(const struct vduse_dev *dev);

/** vduse_dev_iotlb() - the device's table; its misses ask the kernel. Owned by @dev */
struct iotlb *vduse_dev_iotlb(struct vduse_dev *dev);

/**
 * vduse_dev_umem() - the bounce memory of virtio-vdpa, where it is ours; until @dev is closed
 *
 * Return: 0; -EAGAIN: nobody looked into it yet; -ENOENT: it is the kernel's
 */
int __must_check vduse_dev_umem(struct vduse_dev *dev, void **addr, size_t *size);

/**
 * vduse_dev_recv() - take the next control message
 *
 * One poll event may stand for several messages: call until it returns 0. Each message taken is
 * owed exactly one vduse_dev_reply(); while it is owed, a task in the kernel waits, holding locks.
 *
 * Return: 1 taken; 0 none; -errno
 */
int __must_check vduse_dev_recv(struct vduse_dev *dev, struct vduse_dev_request *request);

/**
 * vduse_dev_reply() - answer a message
 * @request: as vduse_dev_recv() gave it
 * @ok:      false makes the kernel fail what it was about to do
 *
 * A message whose sender was killed meanwhile is not an error.
 */
int vduse_dev_reply(struct vduse_dev *dev, const struct vduse_dev_request *request, bool ok);

/** vduse_dev_reply_vq_state() - answer VDUSE_GET_VQ_STATE with the next avail index to take */
int vduse_dev_reply_vq_state(struct vduse_dev *dev, const struct vduse_dev_request *request,
			     uint16_t avail_index);

/** vduse_dev_request_name() - "SET_STATUS", ... for logs */
const char *vduse_dev_request_name(uint32_t type);

/**
 * vduse_dev_driver_begins() - a driver sets its first status bit after a reset
 *
 * Where the device was removed from the vdpa bus and added again since the last driver, it has a
 * new bounce buffer: frees the memory that was registered for the old one. Nothing may be mapped.
 */
void vduse_dev_driver_begins(struct vduse_dev *dev);

/** vduse_dev_features() - what the driver accepted; valid from FEATURES_OK to reset */
int __must_check vduse_dev_features(struct vduse_dev *dev, uint64_t *features);

/** vduse_dev_update_config() - change config space and interrupt the driver if it runs */
int __must_check vduse_dev_update_config(struct vduse_dev *dev, uint32_t offset, const void *data,
					 uint32_t len);

/** vduse_dev_vq_info() - where the driver put queue @index, its size, whether it is ready */
int __must_check vduse_dev_vq_info(struct vduse_dev *dev, uint32_t index,
				   struct vduse_vq_info *info);

/** vduse_dev_vq_kickfd() - eventfd for kicks, or -1; gone in the kernel after every reset */
int __must_check vduse_dev_vq_kickfd(struct vduse_dev *dev, uint32_t index, int eventfd);

/**
 * vduse_dev_vq_irq() - interrupt the driver for queue @index
 *
 * Only after new used entries were published: then a CPU of the queue is online, since blk-mq takes
 * none away that has requests in flight. Without one the kernel would look for it for ever
 * (drivers/vdpa/vdpa_user/vduse_dev.c:vduse_vq_update_effective_cpu).
 *
 * Return: 0; -EINVAL: the kernel has not stored DRIVER_OK yet, call again a little later
 */
int __must_check vduse_dev_vq_irq(struct vduse_dev *dev, uint32_t index);

/**
 * vduse_dev_vq_irq_checked() - the same where nothing need have been published
 *
 * A few system calls more: the queue is given a CPU that is online.
 */
int __must_check vduse_dev_vq_irq_checked(struct vduse_dev *dev, uint32_t index);

/**
 * vduse_dev_vq_cpus() - the CPUs that interrupts of queue @index go to, each in turn
 *
 * virtio_vdpa chooses them before DRIVER_OK. They have no effect over vhost-vdpa.
 *
 * Return: 0; -ENOENT: Linux before 6.4; -errno
 */
int __must_check vduse_dev_vq_cpus(struct vduse_dev *dev, uint32_t index, cpu_set_t *cpus);

/**
 * vduse_dev_vq_set_cpus() - to these, until the driver sets the queue up anew
 * @cpus: one of them at least must stay online, see vduse_dev_vq_irq()
 */
int __must_check vduse_dev_vq_set_cpus(struct vduse_dev *dev, uint32_t index,
				       const cpu_set_t *cpus);

#endif
