/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by vduse_dev.c and vduse_create.c. */
#ifndef LIB_VDUSE_DEV_PRIV_H
#define LIB_VDUSE_DEV_PRIV_H

#include "vduse_dev.h"
#include "vduse_memory.h"

struct vduse_dev {
	char name[VDUSE_NAME_MAX];
	int control_fd;
	int fd;
	bool adopted;
	uint64_t bus_id; /* of the vdpa device that the last driver had; 0: not known */
	struct vduse_memory memory;
};

/**
 * vduse_dev_destroy_wait() - destroy a device; wait a moment while the kernel frees its vdpa device
 *
 * Return: 0; -EBUSY: it is on the vdpa bus, or served; other -errno. Logs nothing
 */
int __must_check vduse_dev_destroy_wait(int control_fd, const char *name);

#endif
