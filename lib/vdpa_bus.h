/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vdpa bus in sysfs: which driver a device gets, and which /dev node came of it.
 *
 * A function that changes something may block for as long as a driver's probe or remove takes. With
 * virtio-vdpa that includes reads and writes of the disk that we serve. Never call one from a
 * thread that replies to VDUSE messages or serves queues. Each failure is logged once, with the
 * device's name.
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
	VDPA_ABSENT,   /* the kernel has no vdpa device of this VDUSE device */
	VDPA_REMOVING, /* a process unbinds its driver, or takes it off the bus, and waits */
	VDPA_UNBOUND,  /* no driver has it; or an unbind from vhost_vdpa waits */
	VDPA_BOUND,    /* a driver has it, or is just probing it */
};

/** vdpa_driver_name() - the bus driver's name in the kernel: "virtio_vdpa", "vhost_vdpa" */
const char *vdpa_driver_name(enum vdpa_driver driver);

/** vdpa_driver_present() - is it loaded or built in? */
bool vdpa_driver_present(enum vdpa_driver driver);

/**
 * vdpa_bus_attach() - add @name to the bus, bind @driver, wait for its node
 * @node: out: "/dev/vdb" or "/dev/vhost-vdpa-0"
 *
 * The device is bound to @driver and to no other at any time, even where both drivers are loaded:
 * the bus's autoprobe is off while the device is added, and is put back as it was. Other users of
 * this function on the host are kept out meanwhile. On failure the device is off the bus again.
 *
 * Return: 0; -errno of vdpa_nl_add(); -ENODEV: the driver refused the device, or made no node;
 * -ETIMEDOUT: another process kept the lock that keeps others out
 */
int __must_check vdpa_bus_attach(const char *name, enum vdpa_driver driver,
				 char node[VDPA_NODE_MAX]);

/**
 * vdpa_bus_detach() - unbind the driver, wait until it is gone, take the device off the bus
 *
 * Does not check whether the node is in use: a mounted file system is shut down with I/O errors,
 * and with vhost_vdpa this waits, unkillable, until the virtual machine closes it.
 * Return: 0, also where there is no such device; -EINPROGRESS: another process is removing it, not
 * logged; -errno
 */
int __must_check vdpa_bus_detach(const char *name);

/**
 * vdpa_bus_adopt() - make sure that a device that is on the bus has @driver, and wait for its node
 *
 * For a device that an earlier server attached. Where that server was killed while it had the bus's
 * autoprobe off, autoprobe is switched on again. Return: 0; -EBUSY: bound to another driver;
 * -ENODEV: no node; other -errno
 */
int __must_check vdpa_bus_adopt(const char *name, enum vdpa_driver driver,
				char node[VDPA_NODE_MAX]);

/**
 * vdpa_bus_state() - what the kernel does with the vdpa device of VDUSE device @name right now
 *
 * Only looks at entries of sysfs, as do vdpa_bus_driver() and vdpa_bus_node(). So it does not
 * block, even while a removal waits and holds the kernel's locks.
 */
enum vdpa_state vdpa_bus_state(const char *name);

/** vdpa_bus_driver() - which driver has @name? Return: 0; -ENOENT: none; -EINVAL: a foreign one */
int __must_check vdpa_bus_driver(const char *name, enum vdpa_driver *driver);

/** vdpa_bus_node() - the node that belongs to @name now. Return: 0; -ENOENT: none */
int __must_check vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX]);

#endif
