/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vdpa generic netlink family, as far as a VDUSE server needs it (drivers/vdpa/vdpa.c).
 *
 * Each call opens its own socket, and blocks for as long as the kernel takes. To add or remove a
 * device may bind or unbind its driver, which waits for replies to control messages and for I/O,
 * both from this process. Never call these functions on a thread that serves either. Needs
 * CAP_NET_ADMIN (add, del) and the initial network namespace.
 *
 * Each failure is logged once, with the name of the device and the kernel's extended-ack text,
 * except for -ENODEV of vdpa_nl_show() and vdpa_nl_del().
 */
#ifndef LIB_VDPA_NL_H
#define LIB_VDPA_NL_H

#include <stdint.h>

#include "compiler.h"

/* A device on the bus. */
struct vdpa_nl_info {
	char mgmtdev[32];   /* management device that created it: "vduse", or a hardware device */
	uint32_t device_id; /* VIRTIO_ID_BLOCK, ... */
};

/**
 * vdpa_nl_add() - add VDUSE device @name to the vdpa bus
 *
 * Return: 0; -EEXIST: it is on the bus; -ENODEV: module vduse is not loaded; -EPERM; -EINVAL: no
 *         VDUSE device of this name; other -errno
 */
int __must_check vdpa_nl_add(const char *name);

/** vdpa_nl_show() - look up device @name. Return: 0; -ENODEV: not on the bus; other -errno */
int __must_check vdpa_nl_show(const char *name, struct vdpa_nl_info *info);

/**
 * vdpa_nl_del() - unbind device @name and remove it from the bus
 *
 * Return: 0; -ENODEV: not on the bus; -EPERM; other -errno
 */
int __must_check vdpa_nl_del(const char *name);

#endif
