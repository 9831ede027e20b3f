/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications to the service manager (sd_notify), where NOTIFY_SOCKET is set and the program was
 * built with libsystemd.
 *
 * A separate thread sends them (lib/outbox.h), so that a service manager that is stuck delays no
 * disk. Main thread.
 */
#ifndef VDUSE_BLK_NOTIFY_H
#define VDUSE_BLK_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

/** notify_ready() - the start has ended, and @devices devices can be used */
void notify_ready(size_t devices);

/** notify_stopping() - devices are being detached */
void notify_stopping(void);

/**
 * notify_main_pid() - this process is the main process of the service from now on
 *
 * Send it before the old main process ends: otherwise the service manager takes the service for
 * ended. So this waits, for a second at most, until the message is in the service manager's socket.
 */
void notify_main_pid(void);

/** notify_flush() - wait until all are sent, until @deadline_ns (time_now_ns()) at most */
void notify_flush(uint64_t deadline_ns);

#endif
