/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VDUSE device: create it, reply to control messages, use its queues, destroy it.
 *
 * Independent of the kind of device. Threads: vduse_dev_vq_*() and the table of vduse_dev_iotlb()
 * may be used on any thread; all other functions on the thread that created the device. A function
 * waits for a mutex of the kernel at most, unless its comment says more.
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

/* The kernel's default and limit for the bounce buffer, in bytes (drivers/vdpa/vdpa_user/). */
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
	uint64_t bounce_size; /* bytes; 0: the default. Before Linux 6.4 always the default */
	bool umem;	      /* register memory of this process as bounce buffer, if possible */
};

/**
 * vduse_dev_name_check() - can a device have this name?
 *
 * Return: NULL: yes; or an error text whose subject is the name
 */
const char *vduse_dev_name_check(const char *name);

/** vduse_dev_exists() - does the kernel have a device of this name, served or not? */
bool vduse_dev_exists(const char *name);

/**
 * vduse_dev_may_manage() - may this process create and destroy devices?
 *
 * Return: 0; -EACCES, -EPERM: no; -ENOENT, -ENODEV: no VDUSE; other -errno. Logs nothing
 */
int __must_check vduse_dev_may_manage(void);

/**
 * vduse_dev_is_served() - does a process have the device @name open right now?
 *
 * Return: 1; 0; -ENOENT: no device of this name; other -errno. Logs nothing
 */
int __must_check vduse_dev_is_served(const char *name);

/**
 * vduse_dev_count_queues() - the number of queues of device @name, which no server may have open
 *
 * Waits a few seconds for a server that is ending. Return: 1 ... 65535; -errno, logged
 */
int __must_check vduse_dev_count_queues(const char *name);

/** vduse_dev_remove() - destroy a device without server and vdpa device. Return: 0; -errno, logged */
int vduse_dev_remove(const char *name);

/**
 * vduse_dev_new() - create a device in the kernel and open it, or adopt one
 *
 * If a device of this name exists and no server has it: adopts it if it is on the vdpa bus or is
 * being removed from it, else destroys it and creates it again. The kernel does not show the
 * parameters of an adopted device: the caller must know from the inflight log that they are equal
 * to @params. Waits a few seconds for a server that is ending.
 *
 * Return: 0; -EBUSY: another server has it; -EPERM: the kernel has marked it broken; other -errno;
 * logged
 */
int __must_check vduse_dev_new(const struct vduse_dev_params *params, struct vduse_dev **out);

/** vduse_dev_adopted() - did vduse_dev_new() adopt the device? */
bool vduse_dev_adopted(const struct vduse_dev *dev);

/**
 * vduse_dev_running() - did the driver of an adopted device set DRIVER_OK?
 *
 * No system call returns the status. So this function sends a config interrupt, which is harmless:
 * the kernel refuses it before DRIVER_OK.
 */
bool vduse_dev_running(const struct vduse_dev *dev);

/**
 * vduse_dev_free() - close the device and destroy it in the kernel
 *
 * No queue may run, and no pointer from the IOTLB may be in use. @dev is freed in any case.
 *
 * Return: 0; -EBUSY: it is on the vdpa bus, and stays, not logged; other -errno, logged
 */
int vduse_dev_free(struct vduse_dev *dev);

/** vduse_dev_abandon() - close the device and leave it in the kernel for another server */
void vduse_dev_abandon(struct vduse_dev *dev);

/** vduse_dev_fd() - the descriptor to poll for control messages; owned by @dev */
int vduse_dev_fd(const struct vduse_dev *dev);

/** vduse_dev_iotlb() - the IOTLB of the device; a miss asks the kernel. Owned by @dev */
struct iotlb *vduse_dev_iotlb(struct vduse_dev *dev);

/**
 * vduse_dev_umem() - the UMEM that is registered as bounce buffer, valid until @dev is closed
 *
 * Return: 0; -EAGAIN: not registered yet, which the first IOTLB miss does; -ENOENT: the bounce
 * buffer is the kernel's
 */
int __must_check vduse_dev_umem(struct vduse_dev *dev, void **addr, size_t *size);

/**
 * vduse_dev_recv() - read the next control message
 *
 * One poll event may stand for several messages: call it until it returns 0. Each message needs
 * exactly one vduse_dev_reply(). Until the reply, a task waits in the kernel with locks held.
 *
 * Return: 1: a message was read; 0: no message; -errno
 */
int __must_check vduse_dev_recv(struct vduse_dev *dev, struct vduse_dev_request *request);

/**
 * vduse_dev_reply() - send the reply to a message
 * @request: from vduse_dev_recv()
 * @ok:      false: the operation of the kernel fails
 *
 * Return: 0, also if the task that waited was killed; -errno, logged
 */
int vduse_dev_reply(struct vduse_dev *dev, const struct vduse_dev_request *request, bool ok);

/** vduse_dev_reply_vq_state() - reply to VDUSE_GET_VQ_STATE; @avail_index: of the next chain */
int vduse_dev_reply_vq_state(struct vduse_dev *dev, const struct vduse_dev_request *request,
			     uint16_t avail_index);

/** vduse_dev_request_name() - "SET_STATUS", ... for log lines */
const char *vduse_dev_request_name(uint32_t type);

/**
 * vduse_dev_new_driver() - call it when a driver sets its first status bit after a reset
 *
 * If the device was removed from the vdpa bus and added again since the last driver, it has a new
 * bounce buffer: frees the UMEM of the old one. No region of the IOTLB may be mapped.
 */
void vduse_dev_new_driver(struct vduse_dev *dev);

/** vduse_dev_features() - the features that the driver accepted; valid after FEATURES_OK */
int __must_check vduse_dev_features(struct vduse_dev *dev, uint64_t *features);

/** vduse_dev_update_config() - change the config space, and interrupt the driver if it runs */
int __must_check vduse_dev_update_config(struct vduse_dev *dev, uint32_t offset, const void *data,
					 uint32_t len);

/** vduse_dev_vq_info() - addresses, size and readiness of queue @index, as the driver set them */
int __must_check vduse_dev_vq_info(struct vduse_dev *dev, uint32_t index,
				   struct vduse_vq_info *info);

/** vduse_dev_vq_kickfd() - set the eventfd for kicks, or -1; each reset removes it in the kernel */
int __must_check vduse_dev_vq_kickfd(struct vduse_dev *dev, uint32_t index, int eventfd);

/**
 * vduse_dev_vq_irq() - interrupt the driver for queue @index
 *
 * Call it only after new used entries were published: then a CPU of the queue is online, since
 * blk-mq waits for requests in flight before a CPU goes offline. Without an online CPU the kernel
 * would search for one for ever (drivers/vdpa/vdpa_user/vduse_dev.c:vduse_vq_update_effective_cpu).
 *
 * Return: 0; -EINVAL: the kernel has not stored DRIVER_OK yet, try again soon; other -errno
 */
int __must_check vduse_dev_vq_irq(struct vduse_dev *dev, uint32_t index);

/**
 * vduse_dev_vq_irq_checked() - as vduse_dev_vq_irq(), also without new used entries
 *
 * If no CPU of the queue is online, it gives the queue one that is. Takes more system calls.
 */
int __must_check vduse_dev_vq_irq_checked(struct vduse_dev *dev, uint32_t index);

/**
 * vduse_dev_vq_cpus() - the CPUs that the interrupts of queue @index use in turn
 *
 * virtio_vdpa chooses them before DRIVER_OK. They have no effect with vhost-vdpa.
 *
 * Return: 0; -ENOENT: Linux before 6.4; -errno
 */
int __must_check vduse_dev_vq_cpus(struct vduse_dev *dev, uint32_t index, cpu_set_t *cpus);

/**
 * vduse_dev_vq_set_cpus() - set these CPUs; valid until the driver sets the queue up again
 * @cpus: at least one must stay online, see vduse_dev_vq_irq()
 */
int __must_check vduse_dev_vq_set_cpus(struct vduse_dev *dev, uint32_t index,
				       const cpu_set_t *cpus);

#endif
