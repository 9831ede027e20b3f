/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only door to /dev/vhost-vdpa-N: one thin function per request (linux/vhost.h).
 *
 * All of them return 0 or -errno, and none judges what it is told: being wrong is the caller's
 * business here.
 */
#ifndef TESTS_HOSTILE_VHOST_H
#define TESTS_HOSTILE_VHOST_H

#include <linux/vhost.h>
#include <stddef.h>
#include <stdint.h>

/** vhost_open() - open, own, and agree on IOTLB messages. Return: descriptor; -errno */
int vhost_open(const char *path);

int vhost_get_features(int fd, uint64_t *features);
int vhost_set_features(int fd, uint64_t features);

/* The ioctl says nothing when the server refuses a status: -EIO when it is not there after it. */
int vhost_set_status(int fd, uint8_t status);
int vhost_get_config(int fd, void *config, size_t len);
int vhost_get_ring_max(int fd, uint16_t *max);
int vhost_get_queues(int fd, uint32_t *queues);

/* What the device may see: @addr of this process at @iova. @perm: VHOST_ACCESS_* */
int vhost_map(int fd, uint64_t iova, uint64_t size, void *addr, uint8_t perm);
int vhost_unmap(int fd, uint64_t iova, uint64_t size);

/* Between the two the device is not told of any mapping. */
int vhost_batch_begin(int fd);
int vhost_batch_end(int fd);

int vhost_set_num(int fd, uint32_t queue, uint32_t num);
int vhost_set_base(int fd, uint32_t queue, uint32_t index);
int vhost_get_base(int fd, uint32_t queue, uint32_t *index);
int vhost_set_addr(int fd, uint32_t queue, uint64_t desc, uint64_t avail, uint64_t used);
int vhost_set_kick(int fd, uint32_t queue, int eventfd);
int vhost_set_call(int fd, uint32_t queue, int eventfd);
int vhost_set_enable(int fd, uint32_t queue, uint32_t enable);

#endif
