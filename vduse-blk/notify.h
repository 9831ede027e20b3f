/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager is told, where one listens and libsystemd was there at build time.
 *
 * A thread of its own tells it (lib/outbox.h), so that a service manager which is stuck holds up
 * nobody. Main thread.
 */
#ifndef VDUSE_BLK_NOTIFY_H
#define VDUSE_BLK_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

/** notify_ready() - all devices, so many, can be used */
void notify_ready(size_t devices);

/** notify_stopping() - devices are being detached */
void notify_stopping(void);

/**
 * notify_main_pid() - this process is the service now
 *
 * To be said before the server that was the service ends: else its end is that of the service. So
 * this waits until the service manager's socket has it, a second at most.
 */
void notify_main_pid(void);

/** notify_flush() - wait until all is said; @deadline_ns: the latest end, by time_now_ns() */
void notify_flush(uint64_t deadline_ns);

#endif
