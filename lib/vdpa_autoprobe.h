/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The autoprobe of the vdpa bus, switched off while one device is added.
 *
 * While it is on, the kernel binds a new device to the driver that was loaded first. It belongs to
 * all users of the bus, so it is off for the length of one netlink request only, under a lock, and
 * then as it was before. A server that is killed in between leaves a mark, so that the next one
 * finishes.
 *
 * All functions may block: see vdpa_bus.h. Any number of threads.
 */
#ifndef LIB_VDPA_AUTOPROBE_H
#define LIB_VDPA_AUTOPROBE_H

#include <stdbool.h>

#include "compiler.h"

struct vdpa_autoprobe {
	int lock_fd;
	bool restore; /* it is to be on again */
};

/**
 * vdpa_autoprobe_stop() - take the lock, and switch autoprobe off
 * @name: of the device that is added, for logs
 *
 * Waits until no other thread of this process has the lock, and then for other processes, up to
 * vdpa_paths.lock_wait_ms. Return: 0; -ETIMEDOUT: another process keeps the lock; other -errno.
 * Logged
 */
int __must_check vdpa_autoprobe_stop(struct vdpa_autoprobe *probe, const char *name);

/** vdpa_autoprobe_restore() - after a vdpa_autoprobe_stop() that succeeded: as it was; unlock */
void vdpa_autoprobe_restore(const struct vdpa_autoprobe *probe, const char *name);

/**
 * vdpa_autoprobe_repair() - switch it on again where a server was killed while it was off
 *
 * Does nothing where another process has the lock for longer than vdpa_paths.lock_wait_ms.
 */
void vdpa_autoprobe_repair(const char *name);

#endif
