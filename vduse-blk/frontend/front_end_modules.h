/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel modules that the front ends of a configuration need. vhost-user needs none. */
#ifndef VDUSE_BLK_FRONT_END_MODULES_H
#define VDUSE_BLK_FRONT_END_MODULES_H

#include "compiler.h"
#include "config/config.h"
#include "process/exit_status.h"

/**
 * front_end_load_modules() - load those that are not loaded. Blocks while they initialise
 * @status: out, on failure: the exit status
 *
 * Not for a rescue: a driver that is loaded waits for a device that is stuck. Return: 0; -errno, logged
 */
int __must_check front_end_load_modules(const struct config *config, enum exit_status *status);

#endif
