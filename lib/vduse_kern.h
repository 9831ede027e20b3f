/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of VDUSE: one thin function for each ioctl, control message and sysfs attribute.
 * No policy, no log lines. Unit tests link tests/lib/fake_kern.c in its place.
 *
 * Source: drivers/vdpa/vdpa_user/vduse_dev.c, include/uapi/linux/vduse.h. Every function that can
 * fail returns -errno. All may be called on any thread. A function waits for a mutex of the kernel
 * at most, unless its comment says more.
 */
#ifndef LIB_VDUSE_KERN_H
#define LIB_VDUSE_KERN_H

#include <linux/vduse.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/**
 * vduse_kern_open_control() - open /dev/vduse/control, and select API version 0
 *
 * Version 1 (Linux 7.0: groups, address spaces) has no use for a block device. The version is set
 * explicitly, since reading it switches a 7.0 kernel to version 1.
 *
 * Return: a descriptor, owned by the caller; -ENOENT or -ENODEV without the vduse module; -EACCES
 */
int __must_check vduse_kern_open_control(void);

/** vduse_kern_create() - VDUSE_CREATE_DEV. -EEXIST: name taken; -EINVAL: configuration refused */
int __must_check vduse_kern_create(int control_fd, const struct vduse_dev_config *config);

/** vduse_kern_destroy() - VDUSE_DESTROY_DEV. -EBUSY: on the vdpa bus or open; -EINVAL: unknown */
int __must_check vduse_kern_destroy(int control_fd, const char *name);

/** vduse_kern_open_dev() - open /dev/vduse/NAME, non-blocking; -EBUSY: another process has it */
int __must_check vduse_kern_open_dev(const char *name);

/**
 * vduse_kern_set_attr() - write a number to /sys/class/vduse/NAME/ATTR
 *
 * Return: 0; -ENOENT: this kernel lacks the attribute; -EPERM: too late; -EINVAL: out of range
 */
int __must_check vduse_kern_set_attr(const char *name, const char *attr, uint64_t value);

/**
 * vduse_kern_read_request() - read the next control message
 *
 * Return: 1: one message read; 0: no message; -errno
 */
int __must_check vduse_kern_read_request(int fd, struct vduse_dev_request *request);

/** vduse_kern_write_response() - send a reply. -ENOENT: no task waits for it any more (harmless) */
int __must_check vduse_kern_write_response(int fd, const struct vduse_dev_response *response);

/** vduse_kern_features() - the features that the driver accepted; valid from FEATURES_OK on */
int __must_check vduse_kern_features(int fd, uint64_t *features);

/** vduse_kern_set_config() - write @len bytes at @offset of the config space */
int __must_check vduse_kern_set_config(int fd, uint32_t offset, const void *data, uint32_t len);

/** vduse_kern_config_irq() - tell the driver that config space changed; -EINVAL before DRIVER_OK */
int __must_check vduse_kern_config_irq(int fd);

/** vduse_kern_vq_setup() - set the largest size of a queue; for each one, before "vdpa dev add" */
int __must_check vduse_kern_vq_setup(int fd, uint32_t index, uint16_t max_size);

/** vduse_kern_vq_info() - size, addresses, initial state and readiness, as the driver set them */
int __must_check vduse_kern_vq_info(int fd, uint32_t index, struct vduse_vq_info *info);

/** vduse_kern_vq_kickfd() - the kernel takes its own reference of the eventfd; -1 removes it */
int __must_check vduse_kern_vq_kickfd(int fd, uint32_t index, int eventfd);

/**
 * vduse_kern_vq_irq() - interrupt the driver
 *
 * Never returns if no CPU of the queue is online (vduse_dev.c:vduse_vq_update_effective_cpu).
 *
 * Return: 0; -EINVAL: the kernel has not stored DRIVER_OK yet, and the interrupt is lost
 */
int __must_check vduse_kern_vq_irq(int fd, uint32_t index);

/**
 * vduse_kern_vq_cpus() - read the CPUs that the interrupts of a queue use in turn
 *
 * sysfs: irq_cb_affinity. virtio_vdpa sets it when the driver sets the queue up. It has no effect
 * with vhost-vdpa.
 *
 * Return: 0; -ENOENT: Linux before 6.4, all CPUs; -E2BIG: CPUs that cpu_set_t has no room for
 */
int __must_check vduse_kern_vq_cpus(const char *name, uint32_t index, cpu_set_t *cpus);

/** vduse_kern_vq_set_cpus() - set these CPUs. Return: 0; -EINVAL: none of them is online */
int __must_check vduse_kern_vq_set_cpus(const char *name, uint32_t index, const cpu_set_t *cpus);

/**
 * vduse_kern_iotlb_fd() - VDUSE_IOTLB_GET_FD: the first region that overlaps [start, last]
 * @entry: in: start, last; out: the whole region, which need not contain start
 *
 * Return: a close-on-exec descriptor, owned by the caller; -EINVAL: no region
 */
int __must_check vduse_kern_iotlb_fd(int fd, struct vduse_iotlb_entry *entry);

/** vduse_kern_iotlb_info() - the range and the capabilities of that region (Linux 6.0) */
int __must_check vduse_kern_iotlb_info(int fd, struct vduse_iova_info *info);

/**
 * vduse_kern_reg_umem() - register memory of this process as bounce buffer (Linux 6.0)
 *
 * Return: 0; -EINVAL: no bounce buffer yet, or not virtio-vdpa; -EEXIST; -ENOMEM: memlock limit
 */
int __must_check vduse_kern_reg_umem(int fd, const struct vduse_iova_umem *umem);

/** vduse_kern_dereg_umem() - use the kernel's bounce pages again. -ENOENT: no UMEM is registered */
int __must_check vduse_kern_dereg_umem(int fd, const struct vduse_iova_umem *umem);

/**
 * vduse_kern_bus_id() - identify the vdpa device that belongs to VDUSE device @name
 *
 * Return: the inode number of its sysfs directory, which changes each time the device is added to
 * the bus; 0: no vdpa device
 */
uint64_t vduse_kern_bus_id(const char *name);

#endif
