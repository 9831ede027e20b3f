/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server: its threads, its signals, and all disks of one configuration until their end. */
#ifndef VDUSE_BLK_SERVER_H
#define VDUSE_BLK_SERVER_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"
#include "process/exit_status.h"

enum server_mode {
	SERVER_START,	 /* serve the disks, also those that no server has any more */
	SERVER_TAKEOVER, /* the same; servers that have disks of them are asked to release them */
	SERVER_RESCUE,	 /* serve no store: end all requests with errors, and detach the disks */
};

struct server_options {
	enum server_mode mode;
	int ready_fd; /* gets one byte, and is closed, when the start has ended; -1: none */
};

/**
 * server_run() - serve every device of @config until a signal ends it, or a rescue has ended
 *
 * Prints "NAME /dev/NODE" on standard output when a disk becomes usable, and notifies the service
 * manager when the start has ended. A disk that fails is logged and tried again; the others are
 * served. Where every disk fails at the start, the server ends. SIGTERM and SIGINT detach all
 * disks. A disk in use is served, and its users are logged, until it is no longer in use or a
 * second signal comes, one second after the first at the earliest. SIGHUP is ignored. SIGUSR1
 * leaves all disks attached for another server.
 *
 * Return: the exit status
 */
enum exit_status __must_check server_run(const struct config *config,
					 const struct server_options *options);

#endif
