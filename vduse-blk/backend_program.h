/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program as libvirt and others start a vhost-user back end, without a verb: --socket-path PATH or
 * --fd FD, --blk-file PATH, --read-only; or --print-capabilities.
 *
 * Source: docs/interop/vhost-user.rst, "Backend program conventions".
 */
#ifndef VDUSE_BLK_BACKEND_PROGRAM_H
#define VDUSE_BLK_BACKEND_PROGRAM_H

#include <stdbool.h>

#include "process/exit_status.h"

/** backend_program_is_meant() - is one of these options on the command line? */
bool backend_program_is_meant(char **argv);

/** backend_program() - serve one disk; SIGTERM ends it, also while a front end is connected */
enum exit_status backend_program(int argc, char **argv);

#endif
