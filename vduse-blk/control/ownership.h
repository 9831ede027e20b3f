/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks whether another process has a device, before this process serves it. */
#ifndef VDUSE_BLK_OWNERSHIP_H
#define VDUSE_BLK_OWNERSHIP_H

#include "compiler.h"

/**
 * ownership_wait_name() - does a running server of @runtime_dir serve a disk of this name?
 *
 * For disks that the kernel does not know. Waits a few seconds for a server that is just ending. Return:
 * 0: no; -EBUSY: yes, logged
 */
int __must_check ownership_wait_name(const char *name, const char *runtime_dir);

/**
 * ownership_refuse() - refuse a device that a running server of @runtime_dir serves
 *
 * Return: 0; -EBUSY, logged
 */
int __must_check ownership_refuse(const char *name, const char *runtime_dir);

/**
 * ownership_wait() - wait a few seconds until no process serves the device @name
 *
 * The process that has the device may be ending. Does not wait if a server responds that it serves the
 * device, and stops waiting when a signal ends this server. Return: 0, also if the device does not
 * exist; -errno, logged
 */
int __must_check ownership_wait(const char *name, const char *runtime_dir);

/**
 * ownership_by_other() - refuse a device that a process has which is no server of @runtime_dir
 *
 * A takeover cannot replace such a process. Waits for its end as ownership_wait() does. Return: 0;
 * -errno, logged
 */
int __must_check ownership_by_other(const char *name, const char *runtime_dir);

#endif
