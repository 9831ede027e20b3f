/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vdpa generic netlink family, as far as a VDUSE server needs it (drivers/vdpa/vdpa.c).
 *
 * Every call opens its own socket and blocks for as long as the kernel takes: adding or removing
 * a device may bind or unbind its driver, which waits for our own answers on /dev/vduse/NAME and
 * for our own I/O. Never call from the thread that serves either. Needs CAP_NET_ADMIN (add, del)
 * and the initial network namespace.
 *
 * Each failure is logged once, with the device's name and the kernel's extended-ack text; that there
 * is no such device (any more) to show or to delete is not.
 */
#ifndef LIB_VDPA_NL_H
#define LIB_VDPA_NL_H

#include <stdint.h>

#include "compiler.h"

/* What the kernel tells about a device on the bus. */
struct vdpa_nl_info {
	char mgmtdev[32];   /* who made it: "vduse", or the driver of some hardware */
	uint32_t device_id; /* VIRTIO_ID_BLOCK, ... */
};

/**
 * vdpa_nl_add() - put VDUSE device @name on the vdpa bus
 *
 * Return: 0; -EEXIST: it is there; -ENODEV: vduse module not loaded; -EPERM; -EINVAL: no VDUSE
 *         device of that name; other -errno
 */
int __must_check vdpa_nl_add(const char *name);

/** vdpa_nl_show() - what is device @name? Return: 0; -ENODEV: not on the bus; other -errno */
int __must_check vdpa_nl_show(const char *name, struct vdpa_nl_info *info);

/** vdpa_nl_del() - take it off the bus; unbinds first. Return: 0; -ENODEV: not there; -EPERM */
int __must_check vdpa_nl_del(const char *name);

#endif
