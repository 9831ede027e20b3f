/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switches autoprobe of the vdpa bus off while one device is added.
 *
 * With autoprobe on, the kernel binds a new device to the driver that was loaded first. Autoprobe
 * is common to all users of the bus. So it is off for the time of one netlink request only, under a
 * lock, and is then restored. A server that is killed in between leaves a mark (a file in /run),
 * and the next server switches autoprobe on again.
 *
 * All functions may block: see vdpa_bus.h. Any number of threads.
 */
#ifndef LIB_VDPA_AUTOPROBE_H
#define LIB_VDPA_AUTOPROBE_H

#include <stdbool.h>

#include "compiler.h"

struct vdpa_autoprobe {
	int lock_fd;
	bool restore; /* switch autoprobe on again */
};

/**
 * vdpa_autoprobe_stop() - take the lock, and switch autoprobe off
 * @name: of the device that is added, for logs
 *
 * Waits for other threads of this process without a limit, then for other processes for up to
 * vdpa_paths.lock_wait_ms. Return: 0; -ETIMEDOUT: another process keeps the lock; other -errno;
 * logged
 */
int __must_check vdpa_autoprobe_stop(struct vdpa_autoprobe *probe, const char *name);

/** vdpa_autoprobe_restore() - undo a successful vdpa_autoprobe_stop(): restore, then unlock */
void vdpa_autoprobe_restore(const struct vdpa_autoprobe *probe, const char *name);

/**
 * vdpa_autoprobe_repair() - switch autoprobe on again where a server was killed while it was off
 *
 * Does nothing where another process has the lock for longer than vdpa_paths.lock_wait_ms.
 */
void vdpa_autoprobe_repair(const char *name);

#endif
