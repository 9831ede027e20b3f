/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager is told, where one listens and libsystemd was there at build time.
 */
#ifndef VDUSE_BLK_NOTIFY_H
#define VDUSE_BLK_NOTIFY_H

#include <stddef.h>

/** notify_ready() - all devices, so many, can be used */
void notify_ready(size_t devices);

/** notify_stopping() - devices are being detached */
void notify_stopping(void);

/**
 * notify_main_pid() - this process is the service now
 *
 * To be said before the server that was the service ends: else its end is that of the service.
 */
void notify_main_pid(void);

#endif
