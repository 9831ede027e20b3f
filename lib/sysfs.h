/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes to sysfs, where each is a command to the kernel. Unit tests link tests/lib/fake_sysfs.c in
 * its place, where such a file is a plain one and the test does what the kernel would do.
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
