/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes to sysfs attributes, each of which is a command to the kernel. Unit tests link
 * tests/lib/fake_bus.c instead, where attributes are plain files and the fake acts as the kernel.
 */
#ifndef LIB_SYSFS_H
#define LIB_SYSFS_H

#include "compiler.h"

/**
 * sysfs_write() - write @text to an attribute
 *
 * Blocks for as long as the command takes. Return: 0; -errno
 */
int __must_check sysfs_write(const char *path, const char *text);

#endif
