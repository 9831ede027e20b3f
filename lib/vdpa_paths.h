/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of the vdpa bus, and time limits for it. */
#ifndef LIB_VDPA_PATHS_H
#define LIB_VDPA_PATHS_H

struct vdpa_paths {
	const char *sys; /* "/sys" */
	const char *dev; /* "/dev" */
	const char *run; /* "/run": only root can write to it, and a reboot empties it */

	unsigned int lock_wait_ms;  /* for another server that adds a device */
	unsigned int probe_wait_ms; /* for the disk that the driver creates */
	unsigned int node_wait_ms;  /* for the disk's node */
};

/* Unit tests set other values before the first use. */
extern struct vdpa_paths vdpa_paths;

#endif
