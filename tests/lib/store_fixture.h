/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vduse-blk/store/host_file.c and an image in temp_dir: what its tests share. The directory should be on a
 * disk file system.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "store/host_file.h"

#define ST_IMAGE_SIZE (1u << 20)

/* Of refusals. */
#define PAST_END "goes past the end"
#define ODD	 "must be multiples of the logical block"
#define NOTHING	 "nothing to serve"

/* Of the image. */
struct st_part {
	bool readonly;
	uint64_t offset, size;
};

extern char *st_image;		       /* path of what most tests serve */
extern struct device_config st_config; /* of it, until a test changes that */
extern struct host_file st_store;
extern unsigned int st_wait_ms; /* for who has it */
extern rlim_t st_fds_limit;	/* while a refusal is expected */

/* Checked fixture: a new image; and at the end nothing is open but what was before. */
void st_setup(void);
void st_teardown(void);

void st_make_image(off_t size);

/** st_limit_fds() - descriptors from @limit on cannot be had; RLIM_INFINITY: as many as may be */
void st_limit_fds(rlim_t limit);

/** st_limit_for() - the limit with which @count more descriptors can be had, whichever are free */
rlim_t st_limit_for(unsigned int count);

/** st_expect_open() - open st_config, with success */
void st_expect_open(struct host_file *opened);

/** st_expect_refusal() - it fails, with one line that names the device, the path and @reason */
void st_expect_refusal(int err, const char *reason);

void st_configure_part(const struct st_part *part);

/** st_expect_second() - can another store be opened now, or is it in use? */
void st_expect_second(const struct st_part *second, bool fine);

/** st_start_holder() - a child that has the store until st_end_holder() */
pid_t st_start_holder(const struct st_part *held);
void st_end_holder(pid_t holder);

/** st_end_holder_after() - stop the clock, and end the holder when this thread has slept for @ms */
void st_end_holder_after(pid_t holder, unsigned int ms);

/**
 * st_hide() - no process has the open file of @fd any more: a message in a socket holds it
 *
 * As I/O in flight of a dead process would, and a process of another PID namespace.
 */
void st_hide(int fd);
void st_end_hidden(void);

/** st_make_loop() - loop_make() of the image, which st_config names then */
int st_make_loop(uint32_t block);

#endif
