/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serve --background: the command comes back when the server has started, which goes on by itself. */
#ifndef VDUSE_BLK_BACKGROUND_H
#define VDUSE_BLK_BACKGROUND_H

#include <stdbool.h>

#include "compiler.h"
#include "server.h"

/**
 * background_start() - become two processes; before any thread is started
 * @ready_fd: in the server: where one byte is written when it has started. Nothing else that it
 *            starts inherits it
 * @status:   in the command: what it exits with
 *
 * The server is a session of its own, without standard input; standard output and error are the
 * command's. The command waits until the server has started, or has ended, and then has its exit
 * status; a server that was killed is a failure.
 *
 * Return: false: this is the server. true: this is the command, or there is no server (logged)
 */
bool __must_check background_start(int *ready_fd, enum exit_status *status);

#endif
