/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole servers as processes: their signals, requests to them, takeovers from one by another. Each has a
 * kernel of its own, which is a fake. What is on the vdpa bus is in memory that all of them share.
 *
 * This file replaces disk/attach.c, lib/vdpa_bus.c and lib/modules.c, so only suites that use it are
 * linked with it.
 */
#ifndef TESTS_SERVER_FIXTURE_H
#define TESTS_SERVER_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "server.h"
#include "server_process.h"
#include "suite.h"
#include "temp_dir.h"

#define SERVER_DISKS 3
#define ANY_SERVER   (-1)

/* What all servers of a test share; the test sets what is marked with (t). */
extern struct world {
	struct {
		bool on_bus;
		bool in_use;	  /* (t) only DETACH_FORCE detaches it */
		int attach_error; /* (t) of the next attempt */
		pid_t stuck;	  /* (t) jobs of this server on it do not end; ANY_SERVER; 0 */
		bool in_kernel;	  /* at the end of the server that ended last */
		unsigned int attached, detached;
	} disk[SERVER_DISKS];

	char loaded[128]; /* modules, each with a space behind it */
} * world;

/* (t) What a server of the test is started with. */
extern struct start {
	struct config config;
	struct device_config devices[SERVER_DISKS]; /* one, two, three */
	struct server_options options;
	const char *no_module; /* that cannot be loaded */
	int module_error;
	const char *missing;	  /* what access() does not find, besides devices */
	unsigned int descriptors; /* RLIMIT_NOFILE; 0: as it is */
	int signal;		  /* is pending from the beginning; 0: none */
} start;

extern struct server_process server, successor;

extern const char *const nodes[SERVER_DISKS]; /* the lines on standard output */

/* Checked fixture; temp_dir_make() is to be an unchecked one. */
void server_setup(void);
void server_teardown(void);

/** start_server() - with what @start says */
void start_server(struct server_process *process);

/** expect_nodes() - it prints the lines of disks [@first, @first + @count), the slower ones later */
void expect_nodes(struct server_process *process, int first, int count);

/** start_serving() - start @server, and wait until it serves the first @count disks */
void start_serving(int count);

void send_signal(const struct server_process *process, int signal);

/** end_server() - by SIGTERM, with success */
void end_server(struct server_process *process);

/** ask() - Return: the response of this server, in @text; empty: it does not listen */
const char *ask(const struct server_process *process, const char *question);
extern char text[1024];
extern bool text_is_error;

/** expect_listed() - its response to "list" has this part */
void expect_listed(const struct server_process *process, const char *part);

/** expect_in_kernel() - had the server that ended last left a device for this disk? */
void expect_in_kernel(int i, bool wanted);

#endif
