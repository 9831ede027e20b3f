/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who serves a device: asked before one begins to serve it. */
#ifndef VDUSE_BLK_OWNERSHIP_H
#define VDUSE_BLK_OWNERSHIP_H

#include "compiler.h"

/**
 * ownership_refuse() - refuse a device that a running server of @runtime_dir serves and means to keep
 *
 * Return: 0; -EBUSY, logged
 */
int __must_check ownership_refuse(const char *name, const char *runtime_dir);

/**
 * ownership_wait() - wait a few seconds until no process serves the device @name
 *
 * For one that is just ending. Where a server says that it goes on, and when a signal comes that is
 * to end this one, there is no wait. Return: 0, also where there is no such device; -errno, logged
 */
int __must_check ownership_wait(const char *name, const char *runtime_dir);

/**
 * ownership_by_other() - is a process that is no server of @runtime_dir in the way of a takeover?
 *
 * Waits like ownership_wait() for one that is just ending. Return: 0; -errno, logged
 */
int __must_check ownership_by_other(const char *name, const char *runtime_dir);

#endif
