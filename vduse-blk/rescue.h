/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends and removes devices that a server left in the kernel. */
#ifndef VDUSE_BLK_RESCUE_H
#define VDUSE_BLK_RESCUE_H

#include <stdbool.h>

#include "compiler.h"
#include "server.h"

/**
 * rescue_device() - complete all requests of a device without a server with errors; detach and
 * destroy the device when it is not in use any more
 * @runtime_dir: directory of the inflight log, which may be missing
 *
 * Return: the exit status
 */
enum exit_status __must_check rescue_device(const char *name, const char *runtime_dir);

/**
 * rescue_collect() - destroy all VDUSE devices that have neither a server nor a driver
 * @dry_run: destroy none
 *
 * Prints one line for each VDUSE device on standard output. Return: the exit status
 */
enum exit_status __must_check rescue_collect(bool dry_run);

#endif
