/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The exit status of vduse-blk; vduse-blk(8) has the meanings. */
#ifndef VDUSE_BLK_EXIT_STATUS_H
#define VDUSE_BLK_EXIT_STATUS_H

enum exit_status {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1,
	EXIT_USAGE = 2,
	EXIT_NO_VDUSE = 77,
};

#endif
