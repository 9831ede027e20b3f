/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vdpa bus in sysfs: the driver that a device is bound to, and the /dev node of the device.
 *
 * A function that changes something may block while a bus driver probes or removes the device. With
 * virtio-vdpa that includes I/O of the disk, which this process serves. Never call such a function
 * on a thread that replies to control messages or serves queues. Each failure is logged once, with
 * the name of the device.
 *
 * Source: drivers/vdpa/vdpa.c, drivers/virtio/virtio_vdpa.c, drivers/vhost/vdpa.c (Linux 6.12).
 */
#ifndef LIB_VDPA_BUS_H
#define LIB_VDPA_BUS_H

#include <stdbool.h>

#include "compiler.h"

#define VDPA_NODE_MAX 64

enum vdpa_driver {
	VDPA_DRIVER_VIRTIO, /* virtio_vdpa: a virtio device of this host, for a disk /dev/vdX */
	VDPA_DRIVER_VHOST,  /* vhost_vdpa: /dev/vhost-vdpa-N, for a virtual machine */
};

enum vdpa_state {
	VDPA_ABSENT,   /* the VDUSE device has no vdpa device */
	VDPA_REMOVING, /* a process waits while it unbinds it, or removes it from the bus */
	VDPA_UNBOUND,  /* it is bound to no driver; or an unbind from vhost_vdpa waits */
	VDPA_BOUND,    /* it is bound to a driver, or the driver is probing it */
};

/** vdpa_driver_name() - the bus driver's name in the kernel: "virtio_vdpa", "vhost_vdpa" */
const char *vdpa_driver_name(enum vdpa_driver driver);

/** vdpa_driver_present() - is it loaded or built in? */
bool vdpa_driver_present(enum vdpa_driver driver);

/**
 * vdpa_bus_attach() - add @name to the bus, bind @driver, wait for its node
 * @node: out: "/dev/vdb" or "/dev/vhost-vdpa-0"
 *
 * The device is never bound to another driver than @driver, even if both drivers are loaded: the
 * bus's autoprobe is off while the device is added, and is restored afterwards (vdpa_autoprobe.h).
 * On failure the device is removed from the bus again.
 *
 * Return: 0; -errno of vdpa_nl_add(); -ENODEV: the driver refused the device, or created no node;
 * -ETIMEDOUT: another process holds the lock of vdpa_autoprobe_stop()
 */
int __must_check vdpa_bus_attach(const char *name, enum vdpa_driver driver,
				 char node[VDPA_NODE_MAX]);

/**
 * vdpa_bus_detach() - unbind the device, and remove it from the bus
 *
 * Does not check whether the node is in use: a mounted file system is shut down with I/O errors.
 * With vhost_vdpa the call waits until the virtual machine closes the node, and cannot be killed.
 * Return: 0, also if the bus has no such device; -EINPROGRESS: another process is removing it, not
 * logged; other -errno
 */
int __must_check vdpa_bus_detach(const char *name);

/**
 * vdpa_bus_adopt() - make sure that a device on the bus is bound to @driver, and wait for its node
 *
 * For a device that a former server attached. If that server was killed while the bus's autoprobe
 * was off, switches autoprobe on again. Return: 0; -EBUSY: bound to another driver; -ENODEV: no
 * node; other -errno
 */
int __must_check vdpa_bus_adopt(const char *name, enum vdpa_driver driver,
				char node[VDPA_NODE_MAX]);

/**
 * vdpa_bus_state() - the current state of the vdpa device of VDUSE device @name
 *
 * Only reads entries of sysfs, as vdpa_bus_driver() and vdpa_bus_node() do. So it does not block,
 * even while a removal waits and holds the kernel's locks.
 */
enum vdpa_state vdpa_bus_state(const char *name);

/** vdpa_bus_driver() - the driver of @name. Return: 0; -ENOENT: none; -EINVAL: an unknown one */
int __must_check vdpa_bus_driver(const char *name, enum vdpa_driver *driver);

/** vdpa_bus_node() - the current node of @name. Return: 0; -ENOENT: none */
int __must_check vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX]);

#endif
