/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of the scheme fault, "fault:NAME=VALUE,NAME=VALUE:FILE": a file with faults. */
#ifndef VDUSE_BLK_FAULT_OPTIONS_H
#define VDUSE_BLK_FAULT_OPTIONS_H

#include <stdint.h>

#include "compiler.h"

#define FAULT_WHY_MAX  512
#define FAULT_PATH_MAX 1024 /* a line of the file is shorter */

/* Writes, reads and flushes are counted separately, from 1. 0: the fault does not occur. */
struct fault_options {
	uint32_t delay_ms;		 /* milliseconds by which each operation is delayed */
	uint32_t fail_read;		 /* number of the read that fails */
	uint32_t fail_write;		 /* of the write that fails */
	uint32_t fail_flush;		 /* of the flush that fails */
	uint32_t lose_write;		 /* of the write that succeeds without an effect */
	char hold_while[FAULT_PATH_MAX]; /* operations wait while this path exists; "": never */
	char fail_while[FAULT_PATH_MAX]; /* they fail while this path exists; "": never */
};

/**
 * fault_options_parse() - read the options between the scheme and the path of the file
 * @path: begins with "fault:", accepted by config_path_read()
 * @why:  out, on failure: the error, as a phrase
 *
 * Return: 0; -EINVAL
 */
int __must_check fault_options_parse(const char *path, struct fault_options *out,
				     char why[FAULT_WHY_MAX]);

#endif
