/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vdpa bus for unit tests: sysfs and /dev as files below temp_dir, and netlink as functions.
 *
 * fake_bus.c replaces lib/vdpa_nl.o and lib/sysfs.o and does what the kernel does
 * (drivers/vdpa/vdpa.c, Linux 6.12) when a server adds, binds, unbinds and removes a device. A test
 * acts as the other users of the bus, and injects failures. Without fake_bus_make() there is no
 * vdpa bus, as on a machine without the module.
 *
 * For one thread, with the exception that fake_bus_node() describes.
 */
#ifndef TESTS_FAKE_BUS_H
#define TESTS_FAKE_BUS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "compiler.h"
#include "vdpa_bus.h"
#include "vdpa_nl.h"

enum fake_bus_call {
	FAKE_BUS_ADD,	    /* netlink: to the bus */
	FAKE_BUS_DEL,	    /* netlink: off the bus */
	FAKE_BUS_OVERRIDE,  /* driver_override */
	FAKE_BUS_PROBE,	    /* drivers_probe */
	FAKE_BUS_UNBIND,    /* driver/unbind */
	FAKE_BUS_AUTOPROBE, /* drivers_autoprobe */
	FAKE_BUS_CALLS
};

struct fake_bus {
	bool refuses;  /* drivers_probe succeeds, and the driver has not taken the device */
	bool no_child; /* the driver makes no disk of it */
	bool no_node;  /* no node of the disk appears in /dev */

	/* Called on entry, with the text that is written or the name; NULL: nothing */
	void (*on_call)(enum fake_bus_call call, const char *text);

	unsigned int calls[FAKE_BUS_CALLS]; /* failures included */
	bool autoprobe_at_add;		    /* was it on at the latest FAKE_BUS_ADD? */
	struct vdpa_nl_info info;	    /* of every device */
};

extern struct fake_bus fake_bus;

/** fake_bus_make() - an empty bus with both drivers below temp_dir; vdpa_paths leads there */
void fake_bus_make(void);

/** fake_bus_drop() - the end of it: vdpa_paths is as it was */
void fake_bus_drop(void);

/** fake_bus_fail() - the @nth call from now on (1: the next) fails with @err and has no effect */
void fake_bus_fail(enum fake_bus_call call, unsigned int nth, int err);

/** fake_bus_vduse() - a VDUSE device of that name; it is not on the bus yet */
void fake_bus_vduse(const char *name);

/** fake_bus_bind() - as the kernel does after drivers_probe, with this driver */
void fake_bus_bind(const char *name, enum vdpa_driver driver);

/** fake_bus_unlist() - the first that a removal does: off the bus's list */
void fake_bus_unlist(const char *name);

/** fake_bus_unlink_driver() - the second: the link to its driver goes, what that made stays */
void fake_bus_unlink_driver(const char *name);

/**
 * fake_bus_node() - the node of what the driver of @name made appears in /dev; on any thread
 * @right: it belongs to the disk, and not to something that had this name before
 */
void fake_bus_node(const char *name, bool right);

/** fake_bus_path() - of a file below temp_dir. Return: memory that stays for some calls */
const char *fake_bus_path(const char *fmt, ...) __printf(1, 2);

/** fake_bus_is() - has the file (fake_bus_path()) this text, but for a newline? */
bool fake_bus_is(const char *path, const char *text);

/** fake_bus_write() - give a file this text; it is made where it is not there */
void fake_bus_write(const char *path, const char *text);

/** fake_bus_stat() - what stat() says of a path: the type of nodes below temp_dir is made up */
int fake_bus_stat(const char *path, struct stat *st);

#endif
