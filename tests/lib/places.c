// SPDX-License-Identifier: GPL-2.0-or-later
#include "places.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "temp_dir.h"

#define LOOP_TRIES 10

char loop_name[32];

bool can_direct(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool mounts_enter(void)
{
	return !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

bool mount_private(const char *type, const char *options)
{
	return mounts_enter() && !mount(type, temp_dir, type, 0, options);
}

int loop_make_mode(const char *image, uint32_t block, bool readonly)
{
	struct loop_config lc = { .block_size = block, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;

	lc.fd = (uint32_t)open(image, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (readonly)
		lc.info.lo_flags |= LO_FLAGS_READ_ONLY;
	for (int tries = 0; control >= 0 && loop < 0 && tries < LOOP_TRIES; tries++) {
		snprintf(loop_name, sizeof(loop_name), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		loop = open(loop_name, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &lc)) {
			close(loop); /* somebody else was faster */
			loop = -1;
		}
	}
	close((int)lc.fd);
	if (control >= 0)
		close(control);
	return loop;
}

int loop_make(const char *image, uint32_t block)
{
	return loop_make_mode(image, block, false);
}
