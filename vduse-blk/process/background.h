/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serve --background: the command waits until the server has started, then exits. */
#ifndef VDUSE_BLK_BACKGROUND_H
#define VDUSE_BLK_BACKGROUND_H

#include <stdbool.h>

#include "compiler.h"
#include "exit_status.h"

/**
 * background_start() - fork into two processes, the command and the server
 * @ready_fd: in the server: the caller writes one byte to it when the server has started. It is
 *            closed on exec
 * @status:   in the command: its exit status
 *
 * Call it before any thread is started. The server becomes the leader of a new session. Its
 * standard input is /dev/null; standard output and standard error are those of the command. The
 * command waits until the server has started, or has ended: then it exits with the status of the
 * server, or with EXIT_RUNTIME where a signal killed the server.
 *
 * Return: false: this is the server; true: this is the command, or fork() failed (logged)
 */
bool __must_check background_start(int *ready_fd, enum exit_status *status);

#endif
