/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs list and stats: asks all running servers, and prints their responses. */
#ifndef VDUSE_BLK_SHOW_H
#define VDUSE_BLK_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"
#include "control/control_request.h"
#include "process/exit_status.h"

/**
 * show() - print the disks of all servers of @runtime_dir on standard output
 * @verb: CONTROL_LIST: a table; CONTROL_STATS: counters; CONTROL_JSON: an array with both
 *
 * If no server responds, logs the names of the VDUSE devices without a server. Return: EXIT_RUNTIME: a
 * server refused, or the directory cannot be read, logged
 */
enum exit_status __must_check show(const char *runtime_dir, enum control_verb verb);

/**
 * show_table() - print responses to CONTROL_LIST as a table with a header
 * @lines: NAME NODE DRIVER STATE BYTES PATH, for each disk; the path may have spaces
 *
 * Sizes get a unit. A line of another form is printed unchanged. Prints nothing if @lines is empty.
 * Return: 0; -ENOMEM
 */
int __must_check show_table(const char *lines, FILE *to);

/**
 * show_resize() - ask the server of disk @name to use the size that its store has now, and print it
 *
 * Return: the exit status
 */
enum exit_status show_resize(const char *runtime_dir, const char *name);

#endif
