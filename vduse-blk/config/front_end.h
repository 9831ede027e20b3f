/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front ends and their properties. Other files check a property, and not which front end it is.
 *
 * The key driver chooses one. Any thread.
 */
#ifndef VDUSE_BLK_FRONT_END_H
#define VDUSE_BLK_FRONT_END_H

#include <stdbool.h>

#include "vdpa_bus.h"

/* Values of the key driver. */
enum driver {
	DRIVER_VIRTIO_VDPA,
	DRIVER_VHOST_VDPA,
	DRIVER_VHOST_USER,
};

struct front_end {
	const char *name;	 /* in the configuration file, in lists and log lines */
	const char *client;	 /* module of the driver of the disk; NULL: not in this kernel */
	const char *client_path; /* exists if that driver is loaded */
	bool vdpa;		 /* it is a VDUSE device, and on the vdpa bus */
	enum vdpa_driver bus_driver; /* of the vdpa bus, if @vdpa */
	bool block_node;	     /* its node is a block device of this host */
	bool bounce_buffer;	     /* all data passes through the kernel's bounce buffer */
	bool guest_memory;	     /* data is in the memory of a virtual machine */
};

extern const struct front_end front_ends[];

/** front_end_of() - the front end that the key driver chooses */
static inline const struct front_end *front_end_of(enum driver driver)
{
	return &front_ends[driver];
}

/** front_end_on_bus() - the front end with that driver of the vdpa bus */
static inline const struct front_end *front_end_on_bus(enum vdpa_driver driver)
{
	return front_end_of(driver == VDPA_DRIVER_VIRTIO ? DRIVER_VIRTIO_VDPA : DRIVER_VHOST_VDPA);
}

#endif
