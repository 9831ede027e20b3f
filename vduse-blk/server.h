/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server: its threads, its signals, and all disks of one configuration until they are gone. */
#ifndef VDUSE_BLK_SERVER_H
#define VDUSE_BLK_SERVER_H

#include <stdbool.h>

#include "compiler.h"
#include "config.h"

enum exit_status {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1,
	EXIT_USAGE = 2,
	EXIT_NO_VDUSE = 77,
};

struct server_options {
	bool takeover; /* take over from the servers that have these devices */
	int ready_fd;  /* closed, after one byte, when the start has come to its end; -1: none */
};

/**
 * server_run() - serve every device of @config until a signal ends it
 *
 * Prints "NAME /dev/NODE" on standard output as each becomes usable and tells systemd when the start
 * has come to its end. A disk that cannot be served is reported and tried again while the others are
 * served; where no disk can be, the server undoes what it did and ends. SIGTERM and SIGINT detach; a
 * disk that is in use is kept, and its users named, until it is free or a second signal comes, a second
 * after the first at the earliest. SIGHUP does nothing. SIGUSR1 leaves every disk as it is, attached and
 * in use, for another server to take over.
 *
 * Return: the exit status
 */
enum exit_status __must_check server_run(const struct config *config,
					 const struct server_options *options);

#endif
