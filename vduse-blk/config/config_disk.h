/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration of one vhost-user disk, from the command line instead of a file. */
#ifndef VDUSE_BLK_CONFIG_DISK_H
#define VDUSE_BLK_CONFIG_DISK_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"

struct config_disk {
	const char *socket; /* path; NULL: @socket_fd */
	int socket_fd;
	const char *path;
	bool readonly;
	char **pairs; /* KEY=VALUE, keys of a device section; ends with NULL; may be NULL */
};

/**
 * config_disk_load() - as config_load(), of a file that has this disk only
 *
 * runtime_dir is /run/vduse-blk for root; else vduse-blk in XDG_RUNTIME_DIR, or /tmp/vduse-blk-UID.
 * Return: as config_load()
 */
int __must_check config_disk_load(const struct config_disk *disk, struct config *out);

#endif
