/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server: its threads, its signals, and all disks of one configuration until their end. */
#ifndef VDUSE_BLK_SERVER_H
#define VDUSE_BLK_SERVER_H

#include <stdbool.h>

#include "compiler.h"
#include "config/config.h"
#include "process/exit_status.h"

enum server_mode {
	SERVER_START,	 /* serve the disks; adopt those that a former server left */
	SERVER_TAKEOVER, /* serve the disks; running servers release those that they have */
	SERVER_RESCUE,	 /* serve no store: complete all requests with errors, detach the disks */
};

struct server_options {
	enum server_mode mode;
	bool ends_at_once; /* the first signal detaches disks in use too */
	int ready_fd; /* the server writes one byte to it and closes it after the start; -1: none */
};

/**
 * server_run() - serve every device of @config until a signal ends it, or a rescue has ended
 *
 * Prints "NAME /dev/NODE" on standard output when a disk becomes usable, and notifies the service
 * manager when the start has ended. If a disk fails, the server logs the error, tries the disk again
 * and serves the others. If every disk fails at the start, the server ends. SIGTERM and SIGINT detach all
 * disks. The server logs the users of a disk in use, and serves it until it is no longer in use, or
 * until a second signal, one second after the first at the earliest. SIGHUP is ignored. SIGUSR1
 * leaves all disks attached for another server.
 *
 * Return: the exit status
 */
enum exit_status __must_check server_run(const struct config *config,
					 const struct server_options *options);

#endif
