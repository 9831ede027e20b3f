/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three disks and their list, on the main thread's ring and one worker. Stores, devices and queues are
 * real; the kernel is a fake. The test implements the vdpa bus, and ends the jobs that change it. Time
 * stands still (test_clock.h).
 *
 * This file replaces disk/attach.c and lib/vdpa_bus.c, so only suites that use it are linked with it.
 */
#ifndef TESTS_DISK_FIXTURE_H
#define TESTS_DISK_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk_command.h"
#include "disk/disks.h"
#include "fake_kern.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"

#define DS_DISKS 3

extern struct disk_fixture {
	struct ring ring;
	struct worker worker;
	struct polling_shared shared;
	struct device_config devices[DS_DISKS];
	struct config config;
	struct disks disks;
	struct attach_job *job[DS_DISKS];   /* under way */
	int submitted, order[DS_DISKS];	    /* disks of the first jobs */
	enum vdpa_state bus[DS_DISKS];	    /* what the bus says of each disk */
	char node[DS_DISKS][VDPA_NODE_MAX]; /* likewise */
	struct disk_command command;	    /* of ds_release() or ds_remove() */
	bool done;			    /* it is answered, with @err */
	int err;
	bool timers_wait; /* timers for retries do not expire at the next turn */
	unsigned int fds_before;
} ds;

extern char ds_names[DS_DISKS][8]; /* one, two, three */

/* Checked fixture; temp_dir_make() is to be an unchecked one. What is started gets stopped. */
void ds_setup(void);
void ds_teardown(void);

/** ds_disk() - Return: NULL: it was not made, or has ended */
struct disk *ds_disk(int i);

/** ds_make_image() - the backing store of a disk, which may exist */
void ds_make_image(int i);

/** ds_begin() - add and start all disks of the configuration */
void ds_begin(void);

/** ds_begin_attached() - and attach them, in their order */
void ds_begin_attached(void);

/** ds_end() - stop all disks, and finish their jobs */
void ds_end(void);

/** ds_turn() - wait for events of the main thread's ring; retries are due, unless ds.timers_wait */
void ds_turn(void);

/** ds_seconds_pass() - for all disks; timers that are due expire */
void ds_seconds_pass(unsigned int seconds);

/** ds_wait() - turn the main ring until @cond holds */
#define ds_wait(cond) turn_until(cond, ds_turn())

/** ds_set_bus() - another program, or a job, changes the bus */
void ds_set_bus(int i, enum vdpa_state state, const char *node);

/** ds_finish_job() - the job of a disk ends, and the bus is as a job with @result leaves it */
void ds_finish_job(int i, int result);

/** ds_finish_jobs() - all jobs that are under way succeed */
void ds_finish_jobs(void);

/** ds_attach() - wait for the job of a disk, which succeeds */
void ds_attach(int i);

/** ds_release() - a new server asks for a disk */
void ds_release(int i);

/** ds_remove() - a disk is to be detached and to end */
void ds_remove(int i, bool force);

/** ds_command_done() - sets ds.done, ds.err */
void ds_command_done(struct disk_command *command, int err);

#endif
