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
 * The name of the disk is made from the path of the socket. Return: as config_load()
 */
int __must_check config_disk_load(const struct config_disk *disk, struct config *out);

#define CONFIG_RUNTIME_DIR     "/run/vduse-blk" /* the default of the key runtime_dir */
#define CONFIG_RUNTIME_DIR_MAX 64

/**
 * config_user_runtime_dir() - where the servers of this user are, unless a file says something else
 * @text: out
 *
 * CONFIG_RUNTIME_DIR for root; else vduse-blk in XDG_RUNTIME_DIR, or /tmp/vduse-blk-UID. Return: @text
 */
const char *config_user_runtime_dir(char text[CONFIG_RUNTIME_DIR_MAX]);

#endif
