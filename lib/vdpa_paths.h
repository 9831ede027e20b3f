/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the vdpa bus is found, and for how long it is waited for. */
#ifndef LIB_VDPA_PATHS_H
#define LIB_VDPA_PATHS_H

struct vdpa_paths {
	const char *sys; /* "/sys" */
	const char *dev; /* "/dev" */
	const char
		*run; /* "/run": of root alone, and as short-lived as what the kernel remembers */

	unsigned int lock_wait_ms;  /* for another server that adds a device */
	unsigned int probe_wait_ms; /* for the disk that a driver makes of a device */
	unsigned int node_wait_ms;  /* for the disk's node */
};

/* The kernel's; unit tests put others here before the first use. */
extern struct vdpa_paths vdpa_paths;

#endif
