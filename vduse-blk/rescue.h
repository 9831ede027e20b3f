/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that a server left in the kernel: to bring what waits for them to an end, to remove them. */
#ifndef VDUSE_BLK_RESCUE_H
#define VDUSE_BLK_RESCUE_H

#include <stdbool.h>

#include "compiler.h"
#include "server.h"

/**
 * rescue_device() - answer everything that the driver of an unserved device asks with an error, and
 * detach and destroy the device when nobody uses it any more
 * @runtime_dir: where its server kept the record of requests in flight, as far as there is one
 *
 * Return: the exit status
 */
enum exit_status __must_check rescue_device(const char *name, const char *runtime_dir);

/**
 * rescue_collect() - look at all VDUSE devices, and destroy those that no server and no driver has
 * @dry_run: say what would be done
 *
 * One line for each on standard output. Return: the exit status
 */
enum exit_status __must_check rescue_collect(bool dry_run);

#endif
